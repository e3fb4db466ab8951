"""How fast SOLI-par trains: the whole loop beside the bare step of the same modules, in bf16, at 224 pixels, 64 photographs a step.

PYTHONPATH=.:scripts/benchmark python scripts/gpu_check/whole_step.py [--cpu] [--output FILE]

The paper's two pairs with random weights: ViT-B/16 with GPT-2 small (50,257 tokens), ResNet-101 with the attention LSTM (2,500 words). Five
captions a photograph, cut to 22 tokens, learnt from both views. The anchor is frozen, as it is by default where SOLI-par starts from a
trained captioner: a second encoder looks at the clean views. (With a shared anchor a step would lack that pass.)

The loop is soli.training.loop.train over JPEG files of 500 x 375 pixels in worker processes. Timed are steps after so many that what the
workers had ready at the start is used up, on the device's own clock. The bare step is forward pass, losses, backward pass and optimiser on
inputs that the loop has rendered and that lie on the device; its first loss and gradients must be those that the loop logs. Operations are
those of products and convolutions in one bare step, forward and backward. Last, as far as time is left, with runtime.compile=true.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from bare_step import BareStep
from loop_watch import Clock, Watch, allocated
from omegaconf import OmegaConf
from photographs import draw_photographs
from section import Section
from torch import nn
from training_loop import Training

from soli.configuration import build, compose
from soli.datasets import CaptionedImages, batches
from soli.jobs.recipe import make_recipe
from soli.runs import build_captioner, build_dataset
from soli.training.siamese import Siamese
from soli.vocabulary import SPECIAL_WORDS, Vocabulary

PAR = ("variant=par", "siamese.anchor=frozen", "runtime.precision=bf16", "loader.max_tokens=22")
TOLERANCE = 0.02  # of the first loss and of the norm of its gradients, relative, in bf16
KEPT, USED = 0.95, 0.4  # wanted: of the bare step's speed, and of the device's, by its vendor
VENDORS_PEAK = {  # dense bf16, operations a second
    "A100": 312e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H200 NVL": 836e12,
    "H100": 989e12,
    "H200": 989e12,
}


@dataclass(frozen=True)
class Pair:
    """An encoder and a decoder; what compiling the encoder and the steps after it may take, in seconds."""

    name: str
    overrides: tuple[str, ...]
    toy: tuple[str, ...]
    num_words: int
    wanted: float | None
    compiling: float


PAIRS = (
    Pair(
        "ViT-B/16, GPT-2 small",
        ("encoder=vit_b16", "encoder.weights=null", "decoder=gpt2", "decoder.weights=null", "decoder.tokenizer=null"),
        (
            "encoder.architecture={hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 48, patch_size: 16}",
            "decoder.architecture={n_embd: 32, n_layer: 2, n_head: 2, n_positions: 40}",
        ),
        num_words=50257,
        wanted=USED,
        compiling=75,
    ),
    Pair(
        "ResNet-101, attention LSTM",
        ("encoder=resnet101", "encoder.weights=null", "decoder=att_lstm_glove", "decoder.glove=null"),
        ("encoder.name=resnet18", "encoder.stages=2", "decoder.hidden_dim=16", "decoder.attention_dim=16"),
        num_words=2500,
        wanted=None,
        compiling=100,
    ),
)


@dataclass(frozen=True)
class Sizes:
    """How much is trained and timed."""

    batch_size: int
    timed: int  # steps
    drawn: int  # photographs that differ; the others are the same under other names
    workers: int

    @classmethod
    def of(cls, section: Section) -> Sizes:
        batch_size, timed, drawn = (4, 3, 8) if section.toy else (64, 30, 512)
        return cls(batch_size, timed, drawn, fitting_workers(section.num_workers, batch_size))

    @property
    def warm_up(self) -> int:
        """More steps than workers have ready: two each."""
        return 2 * self.workers + (2 if self.timed < 10 else 6)

    @property
    def steps(self) -> int:
        return self.warm_up + self.timed


@dataclass(frozen=True)
class Peaks:
    """Operations a second of the device: of a large product here and now, and what the vendor says, where that is known."""

    measured: float
    vendor: float | None


@dataclass(frozen=True)
class Setting:
    """What both pairs are measured with. `operations` of their steps are counted when nothing is compiled, and kept for when it is."""

    section: Section
    sizes: Sizes
    peaks: Peaks
    data: list[str]
    operations: dict[str, float] = field(default_factory=dict)


def main() -> None:
    section = Section.begin(__doc__, seconds=190)
    sizes = Sizes.of(section)
    section.tell("setting", {"anchor": "frozen", "workers": sizes.workers, "batch": sizes.batch_size, "timed steps": sizes.timed})
    peaks = find_peaks(section)
    with tempfile.TemporaryDirectory() as scratch:
        setting = Setting(section, sizes, peaks, draw_data(Path(scratch) / "photographs", sizes))
        section.say(f"{sizes.drawn} photographs are drawn")
        for compiles in (False, True):
            for pair in PAIRS:
                if compiles and section.left < pair.compiling * (2 if section.toy else 1):
                    section.say(f"{pair.name}, compiled: {section.left:.0f} s are left, too few to compile")
                    continue
                with section.attempt(f"{pair.name}, compiled" if compiles else pair.name):
                    measure(setting, pair, compiles)
    section.end()


def measure(setting: Setting, pair: Pair, compiles: bool) -> None:
    """The figures of a pair. Raises AssertionError when the bare step is not the loop's."""
    section, sizes, name = setting.section, setting.sizes, f"{pair.name}, compiled" if compiles else pair.name
    gc.collect()
    held = allocated(section.device)  # by others
    training = prepare(section, pair, setting.data, sizes, compiles)
    if not setting.operations:
        section.add("loader alone", loader_speed(training.data, sizes, section), "images/s")
    bare, watch = BareStep(training), Watch(section.device, sizes.warm_up)
    with watch.looking(bare):
        logged = training.run(sizes.workers, sizes.steps)
    seconds = {**watch.summary(sizes.timed), "bare": bare.seconds(watch.parts, sizes.timed)}
    if not compiles:
        setting.operations[pair.name] = bare.operations(watch.parts[0])
    add_speeds(section, name, sizes, seconds)
    add_use(setting, name, setting.operations[pair.name], seconds, pair.wanted)
    section.add(f"{name}, bare passes, for the host alone", bare.seconds_of_host(watch.parts[0]), "s")
    if section.device.type == "cuda":
        section.add(f"{name}, peak memory", (watch.peak_bytes - bare.held - held) / 2**30, "GiB")
    with section.attempt(f"{name}, longest kernels"):
        section.tell(f"{name}, longest kernels", bare.longest_kernels(watch.parts[0]))
    differences = {key: abs(logged[key] - value) / abs(value) for key, value in watch.first.items()}
    section.tell(f"{name}, bare step's differences from the loop's", differences)
    assert max(differences.values()) < TOLERANCE, f"{name}: the loop's first step and a bare one differ, relatively, by {differences}"


def add_speeds(section: Section, name: str, sizes: Sizes, seconds: dict[str, float]) -> None:
    section.add(f"{name}, step of the loop", seconds["step"], "s")
    section.add(f"{name}, bare step", seconds["bare"], "s")
    section.add(f"{name}, loop against bare", seconds["bare"] / seconds["step"], wanted=KEPT)
    section.add(f"{name}, end to end", sizes.batch_size / seconds["step"], "images/s")
    section.add(f"{name}, waits for the loader in a step", seconds["waiting"], "s")
    section.add(f"{name}, renders in a step, on the device's clock", seconds["rendering"], "s")


def add_use(setting: Setting, name: str, operations: float, seconds: dict[str, float], wanted: float | None) -> None:
    """Which share of the device's operations the model's are."""
    section, peaks = setting.section, setting.peaks
    section.tell(f"{name}, operations of a step", operations)
    rates = {"step": operations / seconds["step"], "bare": operations / seconds["bare"]}
    if peaks.vendor is not None:
        section.add(f"{name}, model FLOPs utilisation, of the vendor's peak", rates["step"] / peaks.vendor, wanted=wanted)
        section.add(f"{name}, bare, of the vendor's peak", rates["bare"] / peaks.vendor)
    section.add(f"{name}, model FLOPs utilisation, of the measured peak", rates["step"] / peaks.measured)


def prepare(section: Section, pair: Pair, data: Sequence[str], sizes: Sizes, compiles: bool) -> Training:
    """The training as soli.train would begin it, but for a vocabulary of so many words whatever the captions say."""
    toy = (*pair.toy, "encoder.input_size=32") if section.toy else ()
    sizing = (f"loader.batch_size={sizes.batch_size}", f"runtime.compile={str(compiles).lower()}")
    settings = OmegaConf.to_container(compose([*data, *pair.overrides, *PAR, *sizing, *toy]), resolve=True)
    words = range((200 if section.toy else pair.num_words) - len(SPECIAL_WORDS))
    vocabulary = Vocabulary((*SPECIAL_WORDS, *(f"word{number}" for number in words)))
    torch.manual_seed(0)
    model = build_captioner(settings, vocabulary)
    tame(model.encoder)
    model.to(section.device).to(memory_format=torch.channels_last)
    recipe, siamese = make_recipe(settings), Siamese(build(settings["contrastive"]), build(settings["negatives"]))
    images = CaptionedImages(build_dataset(settings), "train", vocabulary, recipe.loader.max_tokens)
    for index in range(len(images)):
        images.token_ids(index)  # from the second epoch on they are there
    section.say(f"{pair.name}: {sum(weight.numel() for weight in model.parameters()):,} weights")
    return Training(model, images, recipe, siamese)


@torch.no_grad()
def tame(encoder: nn.Module) -> None:
    """A ResNet with frozen batch norm and random weights doubles the variance in every block: less of what each block adds."""
    for block in (block for stage in getattr(encoder, "stages", ()) for block in stage):
        (block.bn3 if hasattr(block, "bn3") else block.bn2).weight.mul_(0.2)


def draw_data(folder: Path, sizes: Sizes) -> list[str]:
    """Photographs for all steps, most of them under several names. Returns the overrides that name them."""
    draw_photographs(folder, sizes.drawn)
    lines = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    drawn = [line for line in lines if line["split"] == "train"]
    for number in range(sizes.drawn, sizes.batch_size * (sizes.steps + 1)):
        like, name = drawn[number % sizes.drawn], f"again{number:05d}.jpg"
        os.link(folder / "images" / like["image"], folder / "images" / name)
        lines.append({**like, "image": name})
    (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return ["dataset=folder", f"dataset.root='{folder}'", "vocabulary.min_count=1"]


def fitting_workers(number: int, batch_size: int) -> int:
    """At most so many that what they have ready, 600 kB a photograph, fits in the memory that processes share."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        return number
    return max(1, min(number, shutil.disk_usage(shared).free // (3 * 600_000 * batch_size)))


def loader_speed(data: CaptionedImages, sizes: Sizes, section: Section) -> float:
    """Photographs a second that workers decode when nobody else does anything, once they have started."""
    plan = [list(range(first, first + sizes.batch_size)) for first in range(0, sizes.batch_size * sizes.steps, sizes.batch_size)]
    clock, marks = Clock(torch.device("cpu")), []
    for _ in batches(data, plan, sizes.workers, section.device.type == "cuda"):
        marks.append(clock.mark())
    first = min(sizes.warm_up, len(marks) - 2)
    return sizes.batch_size * (len(marks) - 1 - first) / clock.between(marks[first], marks[-1])


def find_peaks(section: Section) -> Peaks:
    """Of products of large random matrices in bf16."""
    side = 256 if section.toy else 8192
    factors = [torch.randn(side, side, device=section.device, dtype=torch.bfloat16) for _ in range(2)]
    clock = Clock(section.device)
    marks = [clock.mark()]
    for _ in range(13):
        torch.mm(*factors)
        marks.append(clock.mark())
    section.wait()
    measured = 2 * side**3 / median(clock.between(*pair) for pair in pairwise(marks[3:]))
    name = torch.cuda.get_device_name(section.device) if section.device.type == "cuda" else ""
    vendor = next((rate for chip, rate in VENDORS_PEAK.items() if chip in name), None)
    section.add("peak of a large bf16 product", measured / 1e12, "TFLOP/s")
    if vendor is not None:
        section.add("peak by the vendor", vendor / 1e12, "TFLOP/s")
    return Peaks(measured, vendor)


if __name__ == "__main__":
    main()
