"""Vision transformers (Dosovitskiy et al., arXiv 2010.11929) from transformers: ViT, DeiT, and CLIP's vision tower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from soli.hub import MODEL_FILES, check_sizes, count_parameters, fetch, load_weights, make_config, make_model, read_config
from soli.interfaces import SoliError
from soli.json_text import read_object
from soli.printing import short

FAMILIES = ("vit", "deit", "clip_vision_model")
CLASS_TOKENS = {"vit": 1, "deit": 2, "clip_vision_model": 1}
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
STATISTICS = {  # mean and standard deviation of the input where the weights do not say
    "vit": HALF,
    "deit": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip_vision_model": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
ARCHITECTURE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")
DETAILS = ("hidden_act", "layer_norm_eps", "qkv_bias", "hidden_dropout_prob", "attention_probs_dropout_prob", "attention_dropout")


class ViTEncoder(nn.Module):
    """(N, 3, H, W) in [0, 1], sides of at least a patch -> (N, L, D): the class token, unless it is left out, then the patches by rows."""

    def __init__(
        self,
        architecture: dict[str, Any],
        weights: str | None = None,
        input_size: int = 224,
        framing: Literal["crop", "squash"] = "squash",
        class_token: bool = True,
        finetune_from: int | None = 1,
        gradient_checkpointing: bool = False,
        mean: list[float] | None = None,
        std: list[float] | None = None,
    ):
        """`architecture` has `model_type` (vit, deit or clip_vision_model) and sizes, under transformers' names; `weights`, a folder,
        a name on the hub or None for random ones, must be of it.

        Position embeddings are interpolated to `input_size` once, and to other sizes when they come. `finetune_from` is the first layer
        that may train (0: the embeddings too; None: nothing). `mean` and `std` of the input: None takes those of the weights, else of the
        family. Raises SoliError for an unknown family and for weights of another architecture.
        """
        super().__init__()
        completed = self.complete({"architecture": architecture, "weights": weights, "mean": mean, "std": std})
        architecture = completed["architecture"]
        layers, patch = architecture["num_hidden_layers"], architecture["patch_size"]
        if finetune_from is not None and not 0 <= finetune_from <= layers:
            raise SoliError(
                f"encoder.finetune_from={finetune_from} must be 0 (the embeddings) to {layers} (the last layer), or null for none."
            )
        if input_size < patch or input_size % patch:
            below, above = input_size // patch * patch, -(-input_size // patch) * patch
            nearby = " or ".join(str(side) for side in dict.fromkeys((below, above)) if side)
            raise SoliError(f"encoder.input_size={input_size} does not consist of whole patches of {patch} pixels: give {nearby}.")
        self.input_size, self.framing, self.finetune_from = input_size, framing, finetune_from
        self.num_left_out = 0 if class_token else CLASS_TOKENS[architecture["model_type"]]
        self.vit = _build(architecture, weights, input_size)
        self.feature_dim = architecture["hidden_size"]
        if gradient_checkpointing:
            _checkpoint_activations(self.vit)
        self.register_buffer("mean", torch.tensor(completed["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(completed["std"]).view(1, 3, 1, 1), persistent=False)

    @staticmethod
    def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with all that the files at `weights` say of the architecture and the input, so that a run needs only its folder.

        Raises SoliError when `architecture` contradicts them.
        """
        given = dict(settings["architecture"])
        family = given.get("model_type")
        if family not in FAMILIES:
            raise SoliError(f"encoder.architecture.model_type={short(family)} is not known; choose one of {', '.join(FAMILIES)}.")
        unknown = [name for name in given if name not in ("model_type", *ARCHITECTURE, *DETAILS)]
        if unknown:
            raise SoliError(
                f"encoder.architecture.{unknown[0]} is not known; it takes {', '.join(('model_type', *ARCHITECTURE, *DETAILS))}."
            )
        missing = [name for name in ARCHITECTURE if given.get(name) is None]
        if missing:
            raise SoliError(f"encoder.architecture has no {', '.join(missing)}: give it numbers.")
        check_sizes({name: given[name] for name in ARCHITECTURE}, "encoder.architecture.")
        width, heads = given["hidden_size"], given["num_attention_heads"]
        if width % heads:
            raise SoliError(
                f"encoder.architecture: hidden_size={width} is no multiple of num_attention_heads={heads}: give sizes that are."
            )
        mean, std = STATISTICS[family]
        if settings.get("weights") is not None:
            folder = fetch(settings["weights"], "encoder.weights", MODEL_FILES)
            found = vision_config(folder, settings["weights"])
            differing = [
                f"{name} {found[name]} there, {given[name]} here" for name in ("model_type", *ARCHITECTURE) if found[name] != given[name]
            ]
            if differing:
                raise SoliError(
                    f"encoder.weights={settings['weights']} is of another architecture: {'; '.join(differing)}. "
                    f"Choose the encoder it belongs to, or set encoder.architecture."
                )
            given |= found
            seen = preprocessing(folder)
            mean, std = seen.get("mean", mean), seen.get("std", std)
        mean, std = list(settings.get("mean") or mean), list(settings.get("std") or std)
        if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
            raise SoliError(f"encoder.mean={mean} and encoder.std={std} must be three numbers each, those of std above 0.")
        return {**settings, "architecture": given, "mean": mean, "std": std}

    def forward(self, images: Tensor) -> Tensor:
        normalised = (images - self.mean) / self.std
        interpolate = tuple(images.shape[-2:]) != (self.input_size, self.input_size)
        tokens = self.vit(normalised, interpolate_pos_encoding=interpolate).last_hidden_state
        return tokens[:, self.num_left_out :]

    def finetuned_parts(self) -> list[nn.Module]:
        """The layers that may train with the final norm, the embeddings among them when `finetune_from` is 0."""
        if self.finetune_from is None:
            return []
        layers = list(_layers(self.vit)[max(self.finetune_from, 1) - 1 :])
        before = [getattr(self.vit, name) for name in ("embeddings", "pre_layrnorm") if hasattr(self.vit, name)]
        after = [self.vit.layernorm] if hasattr(self.vit, "layernorm") else []  # CLIP's last norm is for its class token alone
        return [*(before if self.finetune_from == 0 else []), *layers, *after]


def vision_config(folder: Path, source: str) -> dict[str, Any]:
    """The architecture of the ViT, DeiT or CLIP vision tower in a folder. Raises SoliError when there is none."""
    return architecture_of(_vision_part(read_config(folder, "encoder.weights", source)), f"encoder.weights={source}")


def _vision_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of a whole CLIP the vision tower."""
    part = config.get("vision_config", config) if config.get("model_type") == "clip" else config
    return part if isinstance(part, Mapping) else {}


def architecture_of(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What of a transformers config makes up the architecture, its defaults filled in. Raises SoliError for another family."""
    family = config.get("model_type")
    if family not in FAMILIES:
        raise SoliError(f"{where} is a {short(family)}; allowed are {', '.join(FAMILIES)}.")
    complete = make_config(_classes(family)[0], {key: value for key, value in config.items() if key in (*ARCHITECTURE, *DETAILS)}, where)
    return {"model_type": family, **{name: getattr(complete, name) for name in (*ARCHITECTURE, *DETAILS) if hasattr(complete, name)}}


def _classes(family: str) -> tuple[type, type]:
    import transformers  # slow to import

    return {
        "vit": (transformers.ViTConfig, transformers.ViTModel),
        "deit": (transformers.DeiTConfig, transformers.DeiTModel),
        "clip_vision_model": (transformers.CLIPVisionConfig, transformers.CLIPVisionModel),
    }[family]


def num_parameters(architecture: Mapping[str, Any], side: int, where: str) -> int:
    """How many numbers a model for squares of `side` pixels would have; it takes no memory. Raises SoliError for one that cannot be."""
    kind, config, options = _described(architecture, side, where)
    return count_parameters(kind, config, where, **options)


def _described(architecture: Mapping[str, Any], side: int, where: str) -> tuple[type, Any, dict[str, Any]]:
    """The class of the model, its config, and what else its constructor is given."""
    config_kind, kind = _classes(architecture["model_type"])
    sizes = {key: value for key, value in architecture.items() if key != "model_type"}
    options = {} if architecture["model_type"] == "clip_vision_model" else {"add_pooling_layer": False}
    return kind, make_config(config_kind, {**sizes, "image_size": side}, where), options


def _build(architecture: Mapping[str, Any], weights: str | None, input_size: int) -> nn.Module:
    """The weights come first: a stranger's config that describes more than they are is refused before anything is built."""
    where = "encoder.architecture"
    kind, config, options = _described(architecture, input_size, where)
    if weights is None:
        return make_model(kind, config, where, **options)
    side = image_size(read_config(fetch(weights, "encoder.weights", MODEL_FILES), "encoder.weights", weights), f"encoder.weights={weights}")
    theirs = _described(architecture, side, where)[1]
    pretrained, report = load_weights(kind, theirs, weights, "encoder.weights", **options)
    missing = sorted({*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])})
    if missing:
        raise SoliError(f"encoder.weights={weights} lacks {len(missing)} tensors of its model ({missing[0]}, ...).")
    return resized(pretrained, make_model(kind, config, where, **options), input_size)


def image_size(config: Mapping[str, Any], where: str) -> int:
    """The side of the images that a model was trained on. Raises SoliError for what is no square."""
    size = _vision_part(config).get("image_size", 224)
    sides = size if isinstance(size, list) and len(size) == 2 else [size, size]
    if not all(isinstance(side, int) and not isinstance(side, bool) for side in sides) or sides[0] != sides[1]:
        raise SoliError(f"{where} sees images of {str(size)[:60]} pixels: only squares are possible here.")
    return sides[0]


@torch.no_grad()
def resized(pretrained: nn.Module, model: nn.Module, input_size: int) -> nn.Module:
    """`model` with the weights of `pretrained`, the position embeddings interpolated (bicubic) to squares of `input_size` pixels."""
    state = pretrained.state_dict()
    name = next(name for name in state if "position_embedding" in name and "ids" not in name)
    patches = (input_size // pretrained.config.patch_size) ** 2
    special = CLASS_TOKENS[pretrained.config.model_type]
    like = state[name].new_zeros(1, special + patches, pretrained.config.hidden_size)
    positions = pretrained.embeddings.interpolate_pos_encoding(like, input_size, input_size)
    state[name] = positions.view(model.state_dict()[name].shape).clone()
    model.load_state_dict(state)
    return model


def _layers(vit: nn.Module) -> Sequence[nn.Module]:
    """The transformer's layers, whose place differs between families and versions of transformers."""
    for owner in (vit, getattr(vit, "encoder", None)):
        for name in ("layers", "layer"):
            if hasattr(owner, name):
                return getattr(owner, name)
    raise TypeError(f"{type(vit).__name__} has no list of layers")


def _checkpoint_activations(vit: nn.Module) -> None:
    """Layers compute their activations again for the backward pass, under the name that the installed transformers has for it."""
    options = {"use_reentrant": False}
    if hasattr(vit, "activation_checkpointing_enable"):
        vit.activation_checkpointing_enable(activation_checkpointing_kwargs=options)
    else:
        vit.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)


def preprocessing(folder: Path) -> dict[str, Any]:
    """`framing`, `mean` and `std` of the input as a preprocessor_config.json has them; nothing where there is none."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    try:
        found = read_object(path)
        framing = "crop" if found.get("do_center_crop") else "squash"
        mean, std = ([float(value) for value in found[name]] for name in ("image_mean", "image_std"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as reason:
        raise SoliError(f"{path} is damaged: it gives no image_mean and image_std. Save the model's image processor again.") from reason
    return {"framing": framing, "mean": mean, "std": std}
