"""GPT-2 (Radford et al., 2019) with cross-attention to an image's features, as transformers' GPT2Model with our own steps.

transformers repeats an image's features for every caption and beam. Here an image's cross-attention keys and values are computed once, and
all its captions, words and beams attend to them as one long sequence of queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from soli.hub import MODEL_FILES, check_sizes, count_parameters, fetch, load_weights, make_config, make_model, read_config
from soli.interfaces import SoliError
from soli.printing import short

ARCHITECTURE = ("n_embd", "n_layer", "n_head", "n_positions")
DETAILS = ("n_inner", "activation_function", "layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx")


class GPT2State(NamedTuple):
    """What stepping needs: the image's part and each hypothesis's part. G layers, h heads, P words so far, d = width / h."""

    cross: Tensor  # (2G, N, h, L, d), keys and values of the features, layer by layer
    past: Tensor  # (2G, N, C, h, P, d), keys and values of the words


class GPT2Decoder(nn.Module):
    """GPT-2's blocks with cross-attention; the output layer is the word embedding's transpose. Random weights, or pretrained ones."""

    attention_weight = 0.0  # of the attention loss where a variant leaves it open: published GPT-2 captioners have none

    def __init__(
        self,
        feature_dim: int,
        vocabulary: tuple[str, ...],
        architecture: dict[str, Any],
        weights: str | None = None,
        tokenizer: str | None = None,
        dropout: float = 0.1,
        train: Literal["all", "cross_attention", "lora"] = "all",
        lora_rank: int = 8,
    ):
        """`architecture` has the sizes under transformers' names (n_embd, n_layer, n_head, n_positions); `weights`, a folder, a name on
        the hub or None for random ones, must be of it. `tokenizer` (a folder, a name on the hub, None: whole words) says what made
        `vocabulary`, the tokens by id; the builder of the model reads it.

        `train` limits what may train: all, cross_attention (and the projection of the features), or that and LoRA adapters of `lora_rank`
        on the self-attention (arXiv 2106.09685; needs the package peft). Where features are not n_embd wide, a linear layer projects them.
        Raises SoliError for sizes that do not fit, and weights of another architecture or vocabulary.
        """
        super().__init__()
        if not 0 <= dropout < 1:
            raise SoliError(f"decoder.dropout={dropout} must be at least 0 and below 1.")
        architecture = self.complete({"architecture": architecture, "weights": weights})["architecture"]
        width, heads = architecture["n_embd"], architecture["n_head"]
        if width % heads:
            raise SoliError(f"decoder.architecture: n_embd={width} is no multiple of n_head={heads}: give sizes that are.")
        self.vocab_size, self.max_positions = len(vocabulary), architecture["n_positions"]
        self.notices: list[str] = []
        self.gpt2 = self._build(architecture, weights, dropout)
        self.bridge = nn.Identity() if feature_dim == width else nn.Linear(feature_dim, width)
        self.train_what = train
        if train == "lora":
            _add_lora(self.gpt2, lora_rank)

    @staticmethod
    def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with all that the files at `weights` say of the architecture, so that a run needs only its folder.

        Raises SoliError when `architecture` contradicts them.
        """
        given = dict(settings["architecture"])
        unknown = [name for name in given if name not in (*ARCHITECTURE, *DETAILS)]
        if unknown:
            raise SoliError(f"decoder.architecture.{unknown[0]} is not known; it takes {', '.join((*ARCHITECTURE, *DETAILS))}.")
        missing = [name for name in ARCHITECTURE if given.get(name) is None]
        if missing:
            raise SoliError(f"decoder.architecture has no {', '.join(missing)}: give it numbers.")
        check_sizes({name: given[name] for name in ARCHITECTURE}, "decoder.architecture.")
        if settings.get("weights") is not None:
            found = text_config(settings["weights"])
            differing = [f"{name} {found[name]} there, {given[name]} here" for name in ARCHITECTURE if found[name] != given[name]]
            if differing:
                raise SoliError(
                    f"decoder.weights={settings['weights']} is of another architecture: {'; '.join(differing)}. "
                    "Choose the decoder it belongs to, or set decoder.architecture."
                )
            given |= found
        return {**settings, "architecture": given}

    def finetuned_parts(self) -> list[nn.Module]:
        """What may train: all, or the cross-attention with its norms and the projection of the features, or that and the adapters."""
        if self.train_what == "all":
            return [self]
        cross = [part for block in self.gpt2.h for part in (block.crossattention, block.ln_cross_attn)]
        adapters = [module for name, module in self.gpt2.named_modules() if name.endswith(("lora_A", "lora_B"))]
        return [self.bridge, *cross, *adapters]

    def forward(self, features: Tensor, tokens: Tensor, return_attention: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Teacher forcing: features (N, L, D), tokens (N, T) or (N, C, T) -> logits (N, [C,] T, K), on request attention (N, [C,] T, L):
        the cross-attention, averaged over layers and heads. Tokens below 0 are padding. Raises SoliError for more tokens than positions.
        """
        captions = tokens if tokens.dim() == 3 else tokens.unsqueeze(1)  # (N, C, T)
        cross = self._cross(features)
        hidden = self._embed(captions, first=0)
        shares = []
        for layer, block in enumerate(self.gpt2.h):
            hidden = hidden + self._attend_self(block, layer, hidden, None)
            looked, share = self._attend_image(block, layer, hidden, cross[2 * layer], cross[2 * layer + 1], return_attention)
            hidden = hidden + looked
            hidden = hidden + block.mlp(block.ln_2(hidden))
            shares.append(share)
        logits = self._logits(hidden)  # (N, C, T, K)
        if tokens.dim() == 2:
            logits = logits.squeeze(1)
        if not return_attention:
            return logits
        attention = torch.stack(shares).mean(0)  # (N, C, T, L)
        return logits, attention if tokens.dim() == 3 else attention.squeeze(1)

    def start(self, features: Tensor) -> GPT2State:
        """Features (N, L, D) -> the state before the first word, one hypothesis per image."""
        cross = torch.stack(self._cross(features))
        num_images, heads, _, width = cross.shape[1:]
        return GPT2State(cross, cross.new_zeros(len(cross), num_images, 1, heads, 0, width))

    def step(self, tokens: Tensor, state: GPT2State) -> tuple[Tensor, GPT2State]:
        """The last tokens (N,) or (N, C) -> logits of the next ones (N, [C,] K) and the new state."""
        rows = (tokens if tokens.dim() == 2 else tokens.unsqueeze(1)).unsqueeze(-1)  # (N, C, 1)
        past = functional.pad(state.past, (0, 0, 0, 1))  # a place for this word
        hidden = self._embed(rows, first=state.past.shape[-2])
        for layer, block in enumerate(self.gpt2.h):
            hidden = hidden + self._attend_self(block, layer, hidden, past[2 * layer : 2 * layer + 2])
            hidden = hidden + self._attend_image(block, layer, hidden, state.cross[2 * layer], state.cross[2 * layer + 1], False)[0]
            hidden = hidden + block.mlp(block.ln_2(hidden))
        logits = self._logits(hidden).squeeze(2)  # (N, C, K)
        return (logits if tokens.dim() == 2 else logits.squeeze(1)), GPT2State(state.cross, past)

    def reorder(self, state: GPT2State, parents: Tensor) -> GPT2State:
        """Hypothesis c of image n continues hypothesis `parents[n, c]`; parents (N, C') may have another C. Features are not copied."""
        num_images, num_hypotheses = state.past.shape[1:3]
        rows = parents + num_hypotheses * torch.arange(num_images, device=parents.device).unsqueeze(1)
        past = state.past.flatten(1, 2).index_select(1, rows.flatten()).unflatten(1, tuple(parents.shape))
        return state._replace(past=past)

    def select(self, state: GPT2State, images: Tensor) -> GPT2State:
        """Keeps the images with these indices (M,)."""
        return GPT2State(state.cross[:, images], state.past[:, images])

    def _build(self, architecture: Mapping[str, Any], weights: str | None, dropout: float) -> nn.Module:
        from transformers import GPT2Model  # slow to import

        config = _config(architecture, self.vocab_size, "decoder.architecture")
        for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
            setattr(config, name, dropout)
        if weights is None:
            return make_model(GPT2Model, config, "decoder.architecture")
        model, report = load_weights(GPT2Model, config, weights, "decoder.weights")
        return self._checked(model, report, weights)

    def _checked(self, model: nn.Module, report: Mapping[str, Any], weights: str) -> nn.Module:
        """Raises SoliError for what is missing besides a cross-attention, which is new then, and for another vocabulary."""
        mismatched = [entry[0] for entry in report["mismatched_keys"]]
        if any(name.endswith("wte.weight") for name in mismatched):
            theirs = next(entry[1][0] for entry in report["mismatched_keys"] if entry[0].endswith("wte.weight"))
            raise SoliError(
                f"decoder.weights={weights} has {theirs} tokens, the tokenizer {self.vocab_size}: "
                "give decoder.tokenizer the one it was trained with."
            )
        cross = [name for name in report["missing_keys"] if "crossattention" in name or "ln_cross_attn" in name]
        others = sorted({*report["missing_keys"], *mismatched} - {*cross})
        if others:
            raise SoliError(f"decoder.weights={weights} lacks {len(others)} tensors of its model ({others[0]}, ...).")
        if cross:
            self.notices.append(f"{weights} has no cross-attention: that of all {len(model.h)} layers is new and has to be trained.")
        return model

    def _cross(self, features: Tensor) -> list[Tensor]:
        """Keys and values of the features (N, L, D) for each layer, (N, h, L, d) each."""
        features = self.bridge(features)
        return [self._heads(part) for block in self.gpt2.h for part in block.crossattention.c_attn(features).chunk(2, dim=-1)]

    def _heads(self, part: Tensor) -> Tensor:
        """(..., S, width) -> (..., h, S, d)."""
        return part.unflatten(-1, (self.gpt2.config.n_head, -1)).transpose(-3, -2)

    def _embed(self, captions: Tensor, first: int) -> Tensor:
        """Words and places of tokens (N, C, T), the first of them at place `first`."""
        last = first + captions.shape[-1]
        if last > self.max_positions:
            raise SoliError(
                f"A caption of {last} tokens is longer than decoder.architecture.n_positions={self.max_positions}: lower max_tokens."
            )
        places = self.gpt2.wpe.weight[first:last]
        return self.gpt2.drop(self.gpt2.wte(captions.clamp(min=0)) + places)

    def _attend_self(self, block: nn.Module, layer: int, hidden: Tensor, past: Tensor | None) -> Tensor:
        """Causal self-attention of hidden (N, C, T, width). With `past` (2, N, C, h, P, d), whose last place is written, T is 1."""
        attention = block.attn
        parts = attention.c_attn(block.ln_1(hidden)).chunk(3, dim=-1)
        query, key, value = (self._heads(part).flatten(0, 1) for part in parts)  # (N C, h, T, d)
        if past is not None:
            past[0, ..., -1:, :], past[1, ..., -1:, :] = key.view_as(past[0, ..., -1:, :]), value.view_as(past[1, ..., -1:, :])
            key, value = past.flatten(1, 2)
        looked = functional.scaled_dot_product_attention(
            query, key, value, dropout_p=self._dropout, is_causal=past is None, scale=self._scale(layer)
        )
        looked = looked.transpose(1, 2).reshape(hidden.shape)
        return attention.resid_dropout(attention.c_proj(looked))

    def _attend_image(
        self, block: nn.Module, layer: int, hidden: Tensor, key: Tensor, value: Tensor, explicit: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Cross-attention of hidden (N, C, T, width) to keys and values (N, h, L, d); with `explicit` also its weights (N, C, T, L)."""
        attention, weights = block.crossattention, None
        query = self._heads(attention.q_attn(block.ln_cross_attn(hidden)).flatten(1, 2))  # (N, h, C T, d)
        if explicit:
            shares = (query @ key.transpose(-1, -2) * self._scale(layer)).softmax(-1)
            looked = functional.dropout(shares, self._dropout) @ value
            weights = shares.mean(1).unflatten(1, tuple(hidden.shape[1:3]))
        else:
            looked = functional.scaled_dot_product_attention(query, key, value, dropout_p=self._dropout, scale=self._scale(layer))
        looked = looked.transpose(1, 2).reshape(hidden.shape)
        return attention.resid_dropout(attention.c_proj(looked)), weights

    def _logits(self, hidden: Tensor) -> Tensor:
        return functional.linear(self.gpt2.ln_f(hidden), self.gpt2.wte.weight)

    @property
    def _dropout(self) -> float:
        return self.gpt2.config.attn_pdrop if self.training else 0.0

    def _scale(self, layer: int) -> float:
        config = self.gpt2.config
        scale = (config.n_embd // config.n_head) ** -0.5 if config.scale_attn_weights else 1.0
        return scale / (layer + 1) if config.scale_attn_by_inverse_layer_idx else scale


def num_parameters(architecture: Mapping[str, Any], vocab_size: int, where: str) -> int:
    """How many numbers a model with cross-attention would have; it takes no memory. Raises SoliError for one that cannot be."""
    from transformers import GPT2Model  # slow to import

    return count_parameters(GPT2Model, _config(architecture, vocab_size, where), where)


def _config(architecture: Mapping[str, Any], vocab_size: int, where: str) -> Any:
    from transformers import GPT2Config  # slow to import

    config = make_config(GPT2Config, {**architecture}, where)
    ours = {"vocab_size": vocab_size, "add_cross_attention": True, "bos_token_id": None, "eos_token_id": None}
    for name, value in ours.items():
        setattr(config, name, value)
    return config


def text_config(source: str) -> dict[str, Any]:
    """The architecture of the GPT-2 at a folder or hub name. Raises SoliError when there is none."""
    config = read_config(fetch(source, "decoder.weights", MODEL_FILES), "decoder.weights", source)
    return architecture_of(config, f"decoder.weights={source}")


def architecture_of(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What of a transformers config makes up the architecture, its defaults filled in. Raises SoliError for what is no GPT-2."""
    from transformers import GPT2Config  # slow to import

    if config.get("model_type") != "gpt2":
        raise SoliError(f"{where} is a {short(config.get('model_type'))}; only gpt2 is possible here.")
    if not config.get("tie_word_embeddings", True):
        raise SoliError(f"{where} has an output layer of its own (tie_word_embeddings is false); that is not supported.")
    complete = make_config(GPT2Config, {key: value for key, value in config.items() if key in (*ARCHITECTURE, *DETAILS)}, where)
    return {name: getattr(complete, name) for name in (*ARCHITECTURE, *DETAILS)}


def _add_lora(model: nn.Module, rank: int) -> None:
    """Adapters on the self-attention's projections. Raises SoliError without the package peft."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as reason:
        raise SoliError("decoder.train=lora needs the package peft: pip install peft, or choose cross_attention or all.") from reason
    if rank < 1:
        raise SoliError(f"decoder.lora_rank={rank} must be at least 1.")
    targets: Sequence[str] = [name for name, _ in model.named_modules() if name.endswith(("attn.c_attn", "attn.c_proj"))]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(targets), fan_in_fan_out=True), model)
    model.requires_grad_(True)  # what trains is for the phase to say
