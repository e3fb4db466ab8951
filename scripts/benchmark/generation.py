"""How fast captions are generated, against the ways of others with the same weights and the same captions: one thread, beam search.

python scripts/benchmark/generation.py [--quick] [--output FILE]

Attention LSTM at the sizes of SOLI: the published PyTorch versions caption one image at a time, and project its features for attention
again at every word, for every beam. GPT-2 with cross-attention: transformers' VisionEncoderDecoderModel.generate with its cache.
Weights and features are random. Prints a table and JSON: medians and quartiles of wall time, and of CPU time, which other programs on the
machine disturb less.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import torch
import transformers
from timing import race, read_arguments, report, speed_table
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from soli.decoders import AttentionLSTM, GPT2Decoder
from soli.generation import generate
from soli.version import __version__

Captions = list[list[int]]


@dataclass(frozen=True)
class Contest:
    """The same captions by two ways."""

    name: str
    num_images: int
    ours: Callable[[], Captions]
    peer: Callable[[], Captions]


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of seven")
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    small = {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 64}
    large = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 64}
    contests = (
        lambda: attention_lstm(num_images=32, num_beams=5),
        lambda: gpt2("GPT-2, width 256", small, num_words=2500, num_images=32, end_gain=3.0),
        lambda: gpt2("GPT-2 small", large, num_words=50257, num_images=8, end_gain=5.0),
    )
    results = [measure(build(), repeats=2 if given.quick else 7) for build in contests]
    versions = {"soli": __version__, "torch": torch.__version__, "transformers": transformers.__version__}
    report(results, speed_table(results), versions, given.output, threads=1)


def measure(contest: Contest, repeats: int) -> dict:
    """Times both ways in turn, after one round that warms up and compares. Raises AssertionError when the captions differ."""
    ours, peer = contest.ours(), contest.peer()
    assert ours == peer, f"{contest.name}: {sum(a != b for a, b in zip(ours, peer, strict=True))} of {len(ours)} captions differ"
    times = race(contest.ours, contest.peer, repeats)
    lengths = [len(words) for words in ours]
    return {
        "name": contest.name,
        "images": contest.num_images,
        "words": {"mean": statistics.fmean(lengths), "least": min(lengths), "most": max(lengths)},
        "images_per_second": {way: contest.num_images / clocks["wall"]["median"] for way, clocks in times["seconds"].items()},
        **times,
    }


def attention_lstm(num_images: int, num_beams: int, num_words: int = 2500, max_tokens: int = 20) -> Contest:
    """Features 14 x 14 x 2048, as of a ResNet; random weights, sharp enough that captions end after 2 to 20 words."""
    torch.manual_seed(0)
    decoder = AttentionLSTM(2048, tuple(map(str, range(num_words))), dropout=0.0).eval()
    torch.nn.init.normal_(decoder.embedding.weight, std=1.0)
    torch.nn.init.normal_(decoder.output.weight, std=0.5)
    for weight in (decoder.lstm.weight_ih, decoder.lstm.weight_hh):
        weight.data *= 3
    decoder.output.bias.data[2] = 4.0
    tokenizer = SimpleNamespace(pad_id=0, start_id=1, end_id=2, suppressed_ids=(0, 1, 3))
    features = torch.randn(num_images, 196, 2048)
    return Contest(
        f"attention LSTM, beam {num_beams}",
        num_images,
        lambda: generate(decoder, features, tokenizer, num_beams=num_beams, max_tokens=max_tokens).ids,
        lambda: [search_one(decoder, image, tokenizer, num_beams, max_tokens) for image in features],
    )


@torch.inference_mode()
def search_one(decoder: AttentionLSTM, features: Tensor, tokenizer: SimpleNamespace, num_beams: int, max_tokens: int) -> list[int]:
    """Beam search for one image (L, D): all of its features' attention keys again at every word, for every beam."""
    features = decoder.norm(features)
    hidden, cell = decoder.initial(features.mean(0, keepdim=True)).tanh().chunk(2, dim=-1)
    captions, scores = [[tokenizer.start_id]], torch.zeros(1)
    finished: list[tuple[float, list[int]]] = []
    for length in range(1, max_tokens + 1):
        repeated = features.expand(len(captions), -1, -1)  # (beams, L, D)
        query = decoder.query(hidden).unsqueeze(1)
        attention = decoder.score(torch.tanh(decoder.key(repeated) + query)).squeeze(-1).softmax(-1)
        context = decoder.gate(hidden).sigmoid() * (repeated * attention.unsqueeze(-1)).sum(1)
        words = decoder.embedding(torch.tensor([caption[-1] for caption in captions]))
        hidden, cell = decoder.lstm(torch.cat([words, context], dim=-1), (hidden, cell))
        logits = decoder.output(hidden)
        logits[:, list(tokenizer.suppressed_ids)] = float("-inf")
        best, flat = (scores.unsqueeze(1) + logits.log_softmax(-1)).flatten().topk(2 * num_beams)
        running = []
        for rank, (score, index) in enumerate(zip(best.tolist(), flat.tolist(), strict=True)):
            parent, word = divmod(index, logits.shape[1])
            ends = word == tokenizer.end_id
            if rank < num_beams and (ends or length == max_tokens):
                finished.append((score / length, captions[parent][1:] + ([] if ends else [word])))
            if not ends:
                running.append((score, parent, word))
        finished = sorted(finished, key=lambda pair: -pair[0])[:num_beams]
        running = running[:num_beams]
        if len(finished) == num_beams and finished[-1][0] >= running[0][0] / length:
            break
        captions = [[*captions[parent], word] for _, parent, word in running]
        scores = torch.tensor([score for score, _, _ in running])
        parents = [parent for _, parent, _ in running]
        hidden, cell = hidden[parents], cell[parents]
    return finished[0][1]


def gpt2(
    name: str, sizes: dict[str, int], num_words: int, num_images: int, end_gain: float, num_beams: int = 4, max_tokens: int = 20
) -> Contest:
    """Features of a ViT with 196 patches; random weights. The end token's logit gains `end_gain`, so that captions end at all lengths."""
    torch.manual_seed(0)
    end_id, width = num_words - 1, sizes["n_embd"]
    decoder = GPT2Decoder(width, tuple(map(str, range(num_words))), sizes, dropout=0.0).eval()
    for parameter in (parameter for parameter in decoder.parameters() if parameter.dim() > 1):
        torch.nn.init.normal_(parameter, std=2 / width**0.5)
    network = decoder.gpt2
    network.wpe.weight.data *= 4  # words depend on their place, so that captions do not go round in circles
    direction = network.wte.weight.data[end_id]
    network.ln_f.bias.data += end_gain * direction / direction.square().sum()
    tokenizer = SimpleNamespace(pad_id=-100, start_id=0, end_id=end_id, suppressed_ids=())
    features = torch.randn(num_images, 197, width)
    peer = transformers_captioner(decoder, tokenizer)
    search = {"num_beams": num_beams, "max_new_tokens": max_tokens, "do_sample": False, "use_cache": True}

    def captions_of_transformers() -> Captions:
        found = peer.generate(encoder_outputs=BaseModelOutput(last_hidden_state=features), **search)[:, 1:].tolist()
        return [words[: words.index(end_id)] if end_id in words else words for words in found]

    return Contest(
        f"{name}, beam {num_beams}",
        num_images,
        lambda: generate(decoder, features, tokenizer, num_beams=num_beams, max_tokens=max_tokens).ids,
        captions_of_transformers,
    )


def transformers_captioner(decoder: GPT2Decoder, tokenizer: SimpleNamespace) -> transformers.VisionEncoderDecoderModel:
    """transformers' captioner around the same weights; its encoder is never called."""
    language_model = transformers.GPT2LMHeadModel(decoder.gpt2.config).eval()
    language_model.transformer.load_state_dict(decoder.gpt2.state_dict())
    language_model.tie_weights()
    width = decoder.gpt2.config.n_embd
    encoder = transformers.ViTConfig(hidden_size=width, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    peer = transformers.VisionEncoderDecoderModel(encoder=transformers.ViTModel(encoder), decoder=language_model).eval()
    peer.generation_config.decoder_start_token_id = tokenizer.start_id
    peer.generation_config.eos_token_id = peer.generation_config.pad_token_id = tokenizer.end_id
    return peer


if __name__ == "__main__":
    main()
