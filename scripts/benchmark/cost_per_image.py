"""What a photograph costs in an epoch of SOLI-par, and what that makes for COCO and for ten million photographs: one thread, 224 pixels.

python scripts/benchmark/cost_per_image.py [--quick] [--output FILE]

Measured: milliseconds to read a JPEG file of 500 x 375 pixels as the loader does, and to make two views of it (the paper's ten conditions,
in turn); a step, forward and backward, of captioners that a CPU can train. Counted: floating-point operations of a step, forward and
backward, of two views with five captions of up to 20 words each. Worked out: hours of CPU cores that read and degrade, and hours of a GPU
of 989 TFLOP/s (H100 or H200, bf16) that reaches 40 % of that, which is an assumption. Prints JSON and a table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from captioners import ATTENTION_LSTM, SMALL_GPT2, VIT_TINY, build, random_captions, random_images
from photographs import draw_photographs
from timing import quartiles, read_arguments, report, timed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from soli.datasets import Batch, CaptionedImages, FolderDataset, batches
from soli.degradations import PAPER_CONDITIONS, Framing, parse, render
from soli.losses import CaptionLoss
from soli.model import Captioner
from soli.version import __version__
from soli.vocabulary import Vocabulary

CAPTIONERS = {
    "ViT-Tiny, small GPT-2": (*VIT_TINY, *SMALL_GPT2),
    "ResNet-18, attention LSTM": ("encoder=resnet18", "encoder.weights=null", "encoder.finetune_from=0", *ATTENTION_LSTM),
    "ViT-B/16, GPT-2 small": ("encoder=vit_b16", "encoder.weights=null", "decoder=gpt2", "decoder.weights=null", "decoder.tokenizer=null"),
    "ResNet-101, attention LSTM": ("encoder=resnet101", "encoder.weights=null", "encoder.finetune_from=0", *ATTENTION_LSTM),
}
TIMED = 2  # of them, the others are only counted
SIZES = {"COCO, 118 thousand": 118_000, "10 million": 10_000_000}
GPU_FLOPS, UTILISATION = 989e12, 0.4


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of seven, and one captioner")
    torch.set_num_threads(1)
    repeats, number = (2, 1) if given.quick else (7, len(CAPTIONERS))
    with tempfile.TemporaryDirectory() as scratch:
        loading = measure_loading(Path(scratch) / "photographs", 32, repeats)
    steps = [
        measure_step(name, build(overrides), repeats if place < TIMED else 0)
        for place, (name, overrides) in enumerate(list(CAPTIONERS.items())[:number])
    ]
    results = [{"name": "loading", **loading}, *steps]
    assumed = {"gpu_flops": GPU_FLOPS, "utilisation": UTILISATION}
    report(results, table(loading, steps), {"soli": __version__, "torch": torch.__version__}, given.output, threads=1, **assumed)


def measure_loading(folder: Path, num_photographs: int, repeats: int) -> dict[str, dict[str, float]]:
    """CPU milliseconds for a photograph: to read it, and to make its two views."""
    draw_photographs(folder, num_photographs)
    dataset = FolderDataset(str(folder))
    vocabulary = Vocabulary.build(caption for example in dataset.examples("train") for caption in example.captions)
    data = CaptionedImages(dataset, "train", vocabulary)

    def read() -> Batch:
        return next(batches(data, [range(num_photographs)]))

    images = read().images
    conditions = [parse(PAPER_CONDITIONS[place % len(PAPER_CONDITIONS)]) for place in range(2 * len(images))]
    frames = [Framing(224).frame(*image.shape[1:]) for image in images]
    degrade = lambda: render(images * 2, conditions, frames * 2)  # noqa: E731
    return {"reading": milliseconds(read, len(images), repeats), "degrading": milliseconds(degrade, len(images), repeats)}


def measure_step(name: str, model: Captioner, repeats: int, num_photographs: int = 4) -> dict:
    """Operations of a step for a photograph, and CPU milliseconds if there are repeats."""
    views, tokens = random_images(model, 2 * num_photographs), random_captions(2 * num_photographs, 5, 2500)

    def step(number: int) -> None:
        output = model(views[:number], tokens[:number, :, :-1], attend=False)
        (CaptionLoss()(output.logits, tokens[:number, :, 1:]) + output.embeddings.square().mean()).backward()

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # fused attention is not counted on every device
        step(2)
    result = {"name": name, "flops": counter.get_total_flops()}
    return {**result, "training": milliseconds(lambda: step(len(views)), num_photographs, repeats)} if repeats else result


def milliseconds(work: Callable[[], object], number: int, repeats: int) -> dict[str, float]:
    """Quartiles of CPU time for one of `number`, after a round that warms up."""
    seconds = [timed(work)["cpu"] for _ in range(repeats + 1)][1:]
    return {name: 1000 * value / number for name, value in quartiles(seconds).items()}


def table(loading: Mapping[str, Mapping[str, float]], steps: Sequence[Mapping]) -> str:
    """What a photograph costs, then hours for an epoch of each size."""
    reading, degrading = loading["reading"]["median"], loading["degrading"]["median"]
    lines = [f"{'a photograph':32}{'GFLOP':>10}{'CPU ms':>10}" + "".join(f"{size:>28}" for size in SIZES)]
    hours = [size * (reading + degrading) / 3.6e6 for size in SIZES.values()]
    lines.append(f"{'reading ' + f'{reading:.1f}, degrading {degrading:.1f}':42}{reading + degrading:10.1f}" + cells(hours, "core hours"))
    for row in steps:
        took = f"{row['training']['median']:.0f}" if "training" in row else "-"
        hours = [size * row["flops"] / (GPU_FLOPS * UTILISATION) / 3600 for size in SIZES.values()]
        lines.append(f"{row['name']:32}{row['flops'] / 1e9:10.1f}{took:>10}" + cells(hours, "GPU hours"))
    return "\n".join(lines)


def cells(hours: Sequence[float], unit: str) -> str:
    return "".join(f"{f'{value:.2g} {unit}':>28}" for value in hours)


if __name__ == "__main__":
    main()
