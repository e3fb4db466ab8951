"""How fast the attention LSTM trains, against the published PyTorch way with the same weights, loss and gradients: one thread.

python scripts/benchmark/attention_lstm.py [--quick] [--output FILE]

A step is the forward pass, cross-entropy, the backward pass and the optimiser, on features of 32 images, 14 x 14 x 2048 as of a ResNet,
with a caption of 12 to 20 words for each. The published PyTorch versions sort the captions by length and, at every word, project all
features of the images whose captions still run for attention again; ours projects them once. "Encoder frozen": the features want no
gradients and are not normalised, as published. "Encoder trains": they want gradients, and a LayerNorm stands before everything, as in ours.

Weights, features and captions are random, dropout is off. Loss and gradients must agree before anything is timed. Prints a table and JSON:
medians and quartiles of wall time, and of CPU time, which other programs on the machine disturb less.
"""

from __future__ import annotations

import torch
from captioners import random_captions
from timing import StepContest, measure_steps, read_arguments, report, speed_table
from torch import Tensor
from torch.nn import functional

from soli.decoders import AttentionLSTM
from soli.losses import CaptionLoss
from soli.version import __version__
from soli.vocabulary import Vocabulary


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of seven")
    torch.set_num_threads(1)
    results = [measure_steps(contest(encoder_trains), repeats=2 if given.quick else 7) for encoder_trains in (False, True)]
    report(results, speed_table(results), {"soli": __version__, "torch": torch.__version__}, given.output, threads=1)


def contest(
    encoder_trains: bool, num_images: int = 32, num_places: int = 196, feature_dim: int = 2048, num_words: int = 2500
) -> StepContest:
    torch.manual_seed(0)
    decoder = AttentionLSTM(feature_dim, tuple(map(str, range(num_words))), dropout=0.0, normalize_features=encoder_trains)
    features = torch.randn(num_images, num_places, feature_dim, requires_grad=encoder_trains)
    tokens = random_captions(num_images, 1, num_words).squeeze(1)
    return StepContest(
        f"encoder {'trains' if encoder_trains else 'frozen'}",
        decoder,
        num_images,
        lambda: CaptionLoss()(decoder(features, tokens[:, :-1]), tokens[:, 1:]),
        lambda: loss_by_projecting_again(decoder, features, tokens),
        (features,) if encoder_trains else (),
    )


def loss_by_projecting_again(decoder: AttentionLSTM, features: Tensor, tokens: Tensor) -> Tensor:
    """Cross-entropy of captions (N, T) as the published versions compute it, from features (N, L, D)."""
    lengths, order = (tokens != Vocabulary.pad_id).sum(1).sub(1).sort(descending=True)
    features, tokens = decoder.norm(features[order]), tokens[order]
    hidden, cell = decoder.initial(features.mean(1)).tanh().chunk(2, dim=-1)
    words = decoder.embedding(tokens)
    logits = features.new_zeros(len(tokens), int(lengths[0]), decoder.vocab_size)
    for position in range(int(lengths[0])):
        running = int((lengths > position).sum())
        hidden, cell, seen = hidden[:running], cell[:running], features[:running]
        query = decoder.query(hidden).unsqueeze(1)
        attention = decoder.score(torch.tanh(decoder.key(seen) + query)).squeeze(-1).softmax(-1)
        context = decoder.gate(hidden).sigmoid() * (seen * attention.unsqueeze(-1)).sum(1)
        hidden, cell = decoder.lstm(torch.cat([words[:running, position], context], dim=-1), (hidden, cell))
        logits[:running, position] = decoder.output(hidden)
    targets = tokens[:, 1 : logits.shape[1] + 1]
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=Vocabulary.pad_id)


if __name__ == "__main__":
    main()
