"""How well a linear classifier on an encoder's frozen features finds the photographs whose captions name something, at each condition.

python scripts/linear_probe.py --words dog dogs -- encoder=vit_tiny encoder.weights=<folder> dataset=flickr8k dataset.root=<flickr8k>

As many photographs with one of the words as without, half of each to fit on and half held out. The features are the first one (a ViT's
class token) beside the mean of all, standardised; a logistic regression with a ridge of 1e-3 is fitted on them, on originals for the first
column, on copies of the same condition for the second. With --cache the encoder's features are kept, as float16, for the next time.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch.nn import functional
from tqdm import tqdm

import soli
from soli.configuration import build, script
from soli.datasets import CaptionedImages
from soli.decoders import AttentionLSTM
from soli.degradations import Degradation, Framing, parse, render
from soli.feature_cache import FeatureCache
from soli.interfaces import SoliError
from soli.model import Captioner
from soli.runs import build_dataset, read_config
from soli.tokenization import tokenize
from soli.vocabulary import Vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", nargs="+", default=["dog", "dogs"])
    parser.add_argument("--conditions", nargs="+", default=["R0.1S50"], help="besides original")
    parser.add_argument("--photographs", type=int, default=2400, help="with and without the words, together")
    parser.add_argument("--run", type=Path, help="a run folder, whose encoder and dataset are taken; overrides are not")
    parser.add_argument("--cache", type=Path, help="a folder in which features are kept: what is there is not encoded again")
    parser.add_argument("overrides", nargs="*", help="of soli.train's config: encoder and dataset")
    given = parser.parse_args()
    config = OmegaConf.create(read_config(given.run)) if given.run else soli.compose(given.overrides)
    if given.run and given.overrides:
        raise SoliError(f"--run={given.run} has a config of its own: leave out {' '.join(given.overrides)}.")
    if not given.run and (config.model.pretrained or config.init_from):
        raise SoliError("model.pretrained and init_from are not probed: give encoder.weights, or --run with a run that started from them.")
    if given.photographs < 4:
        raise SoliError(f"--photographs {given.photographs} must be at least 4: two with the words and two without.")
    dataset = build_dataset(config)
    conditions = {
        name: parse(name, config.degradation.mode, dataset.reference_side) for name in dict.fromkeys(["original", *given.conditions])
    }
    examples, labels = balanced(dataset, given.words, given.photographs)
    torch.manual_seed(config.seed)
    model = soli.load(given.run) if given.run else untrained(build(config["encoder"]), examples)
    if not given.run and not config.encoder.get("weights"):
        print("The encoder's weights are random: give encoder.weights, or --run.", file=sys.stderr)
    if given.cache:
        features = cached(given.cache, model, dataset, examples, conditions)
    else:
        features = {name: encode(model.encoder, dataset, examples, degradation) for name, degradation in conditions.items()}
    print(f"{len(examples)} photographs, half with {' or '.join(given.words)}; accuracy on the {len(examples) // 2} that were held out")
    print(f"{'condition':20}{'fitted on originals':>22}{'fitted on its own':>20}")
    first = features["original"]
    for name, found in features.items():
        print(f"{name:20}{accuracy(first, found, labels):22.3f}{accuracy(found, found, labels):20.3f}")


def balanced(dataset, words: list[str], number: int) -> tuple[list, torch.Tensor]:
    """Photographs of all splits, every second one with a word, in an order that depends on nothing else."""
    everything = [example for split in dataset.splits for example in dataset.examples(split)]
    random.Random(0).shuffle(everything)
    kinds: tuple[list, list] = ([], [])
    for example in everything:
        kinds[any(set(words) & set(tokenize(caption)) for caption in example.captions)].append(example)
    size = min(number // 2, *map(len, kinds))
    if size < 2:
        raise SoliError(
            f"{len(kinds[1])} photographs of {dataset.name} have one of {', '.join(words)} in their captions, {len(kinds[0])} have none: "
            "two of each are needed. Choose other --words."
        )
    chosen = [example for pair in zip(kinds[0][:size], kinds[1][:size], strict=True) for example in pair]
    return chosen, torch.arange(len(chosen)) % 2


@torch.inference_mode()
def encode(encoder, dataset, examples: list, degradation: Degradation) -> torch.Tensor:
    framing = Framing(encoder.input_size, encoder.framing)
    rows = []
    for first in tqdm(range(0, len(examples), 32), desc=degradation.spec):
        images = [torch.from_numpy(dataset.read_image(example).transpose(2, 0, 1).copy()) for example in examples[first : first + 32]]
        frames = [framing.frame(*image.shape[1:]) for image in images]
        rows.append(pooled(encoder(render(images, [degradation] * len(images), frames))))
    return torch.cat(rows)


def cached(folder: Path, model: Captioner, dataset, examples: list, conditions: dict[str, Degradation]) -> dict[str, torch.Tensor]:
    """As `encode` of each condition, from the features that `folder` keeps."""
    data = CaptionedImages(dataset, dataset.splits[0], model.tokenizer)
    data.examples = examples
    cache = FeatureCache(folder, model, say=lambda sentence: print(sentence, file=sys.stderr))
    cache.ensure(data, list(conditions.values()))
    batches = [examples[first : first + 32] for first in range(0, len(examples), 32)]
    return {
        name: torch.cat([pooled(cache.features(batch, [degradation] * len(batch))) for batch in batches])
        for name, degradation in conditions.items()
    }


def pooled(features: torch.Tensor) -> torch.Tensor:
    """The first of the features (n, L, D) beside their mean, (n, 2 * D)."""
    return torch.cat([features[:, 0], features.mean(1)], dim=-1)


def untrained(encoder, examples: list) -> Captioner:
    """A captioner around an encoder, as a cache takes it; nobody asks for its captions."""
    words = Vocabulary.build(caption for example in examples for caption in example.captions)
    decoder = AttentionLSTM(encoder.feature_dim, words.words, embedding_dim=1, hidden_dim=1, attention_dim=1)
    return Captioner(encoder, decoder, words).eval()


def accuracy(fitted: torch.Tensor, tested: torch.Tensor, labels: torch.Tensor) -> float:
    """Of a logistic regression fitted on the first half of `fitted`, on the second half of `tested`."""
    half = len(labels) // 2
    mean, std = fitted[:half].mean(0), fitted[:half].std(0) + 1e-6
    x, y = (fitted[:half] - mean) / std, labels[:half].float()
    weight = torch.zeros(x.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = functional.binary_cross_entropy_with_logits(x @ weight[1:] + weight[0], y) + 1e-3 * weight[1:].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    answers = ((tested[half:] - mean) / std) @ weight[1:] + weight[0] > 0
    return (answers == labels[half:].bool()).float().mean().item()


if __name__ == "__main__":
    script(main)
