"""A short real training of two small pairs by the commands: a captioner, SOLI-par from it, and both evaluated at four conditions.

PYTHONPATH=.:scripts/benchmark python scripts/gpu_check/short_training.py [--cpu] [--photographs FOLDER] [--weights FOLDER] [--output FILE]

ViT-Tiny with a small GPT-2, ResNet-18 with the attention LSTM, as configs/experiment/flickr8k has them, both at the same time. First a few
steps are timed; they say how many epochs, or steps (runtime.max_steps), fit into the time. --photographs is a folder that pack.py made, of
copies of Flickr8k; without it pictures are drawn. --weights may hold vit-tiny-imagenet/, resnet18*.pth and glove*.txt (in glove/ or not);
what is not there starts from random weights. Tells BLEU-4 and CIDEr at every condition; METEOR, which needs Java, is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from section import ROOT, Section

PHOTOGRAPHS = ("original", "R0.2S1", "R0.2S50", "R0.1S50")  # conditions of the evaluation
DRAWN = ("original", "R0.1S50", "R0.05S1", "R0.05S50")
BASELINE_SHARE = 0.55  # of the seconds for training
PAR_STEP = 3.0  # times as long as the baseline's: two views that are learnt, and one more through the frozen anchor
MOST_EPOCHS = {"baseline": 20, "par": 5}
SMALL_VIT = "encoder.architecture={hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 48, patch_size: 16}"
SMALL_GPT2 = "decoder.architecture={n_embd: 32, n_layer: 2, n_head: 2, n_positions: 40}"


@dataclass(frozen=True)
class Pair:
    """`baseline` and `par` are experiments; `files` name the pretrained weights, which the second one needs too where `again`."""

    name: str
    baseline: str
    par: str
    encoder: str  # a pattern of its weights
    again: bool
    random: tuple[str, ...]  # where there are no weights
    input_size: int
    toy: tuple[str, ...]


PAIRS = (
    Pair(
        "ViT-Tiny, small GPT-2",
        "flickr8k/vit_tiny_gpt2",
        "flickr8k/vit_tiny_gpt2_from_baseline",
        "vit-tiny-imagenet",
        True,
        ("encoder.weights=null", "encoder.finetune_from=0", "optimizer.factors.encoder=1"),
        160,
        (SMALL_VIT, SMALL_GPT2, "encoder.finetune_from=0"),
    ),
    Pair(
        "ResNet-18, attention LSTM",
        "flickr8k/resnet18_baseline",
        "flickr8k/resnet18_from_baseline",
        "resnet18*",
        False,
        ("encoder.weights=null", "encoder.finetune_from=0", "encoder.batch_norm=trained", "optimizer.factors.encoder=1"),
        128,
        ("encoder.stages=1", "decoder.hidden_dim=16", "decoder.attention_dim=16"),
    ),
)


@dataclass(frozen=True)
class Setting:
    """What both pairs share: data, device, sizes."""

    data: tuple[str, ...]
    conditions: tuple[str, ...]
    batch_size: int
    probe: int  # steps that are timed
    test: int  # photographs of the evaluation
    drawn: bool
    runtime: tuple[str, ...]

    @classmethod
    def of(cls, section: Section) -> Setting:
        device, precision = section.device.type, "bf16"
        workers = 0 if section.toy else max(1, min(6, (os.cpu_count() or 4) // 2 - 2))
        runtime = (f"runtime.device={device}", f"runtime.precision={precision}", f"runtime.workers={workers}")
        if section.toy:
            sizes = ("dataset.num_train=24", "dataset.num_val=4", "dataset.num_test=8", "runtime.threads=1")
            return cls((*drawn_data(), *sizes), DRAWN, 4, 6, 8, True, runtime)
        if section.photographs is None:
            return cls((*drawn_data(), "dataset.num_train=4000"), DRAWN, 64, 30, 200, True, runtime)
        data = (f"dataset.root='{section.photographs.resolve()}'", "dataset.reference_side=500")
        return cls(data, PHOTOGRAPHS, 64, 30, 400, False, runtime)


def main() -> None:
    section = Section.begin(__doc__, seconds=270)
    setting = Setting.of(section)
    data = "drawn" if setting.drawn else "packed photographs"
    section.tell("setting", {"data": data, "conditions": setting.conditions, "photographs of a step": setting.batch_size})
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor() as pool:
        chains = [Chain(section, setting, pair, Path(scratch) / f"pair{number}") for number, pair in enumerate(PAIRS)]
        list(pool.map(Chain.run, chains))
    section.end()


@dataclass(frozen=True)
class Chain:
    """The commands for one pair, one after the other."""

    section: Section
    setting: Setting
    pair: Pair
    folder: Path

    def run(self) -> None:
        with self.section.attempt(self.pair.name):
            self._run()

    def _run(self) -> None:
        self.folder.mkdir()
        started = time.monotonic()
        probe = [f"runtime.max_steps={self.setting.probe}", f"logging.every_steps={max(1, self.setting.probe // 3)}", "validation.limit=4"]
        self._train("baseline", "probe", probe)
        step = seconds_of_step(self.folder / "probe", self.setting.batch_size)
        starting = time.monotonic() - started - step * self.setting.probe
        self.section.say(f"{self.pair.name}: {step:.3f} s a step of the baseline, {starting:.0f} s to begin")
        evaluating = starting + (5 if self.section.toy else 20)
        seconds = self.section.left - 2 * starting - evaluating - 10
        self._train("baseline", "baseline", self._length("baseline", seconds * BASELINE_SHARE, step))
        seconds = self.section.left - starting - evaluating - 10
        self._train("par", "par", [*self._length("par", seconds, step * PAR_STEP), f"init_from='{self.folder / 'baseline'}'"])
        self._evaluate()

    def _length(self, variant: str, seconds: float, step: float) -> list[str]:
        """Overrides for whole epochs that fit into the seconds, or for a part of one."""
        photographs = json.loads((self.folder / "probe" / "data.json").read_text(encoding="utf-8"))["splits"]["train"]["photographs"]
        per_epoch = -(-photographs // self.setting.batch_size)
        epochs, steps = length(seconds, step, per_epoch, 1 if self.section.toy else MOST_EPOCHS[variant])
        self.section.say(f"{self.pair.name}, {variant}: {steps} steps, {epochs} epochs")
        self.section.tell(f"{self.pair.name}, {variant}", {"epochs": epochs, "steps": steps, "seconds of a step when timed": step})
        return [f"epochs={epochs}", f"runtime.max_steps={steps}"]

    def _train(self, variant: str, name: str, overrides: Sequence[str]) -> None:
        pair, setting = self.pair, self.setting
        experiment = pair.par if variant == "par" else pair.baseline
        sizes = [f"loader.batch_size={setting.batch_size}", f"encoder.input_size={self._input_size()}", "validation.every_epochs=1000"]
        warm_up = ["optimizer.warmup_steps=100"] if variant == "baseline" else []
        files = self._files() if variant == "baseline" or pair.again else self._random()
        common = [f"variant={variant}", *setting.data, *sizes, "validation.limit=100", *warm_up, *files, *setting.runtime]
        toy = pair.toy if self.section.toy else ()
        self._command("soli.train", f"experiment={experiment}", *common, *toy, *overrides, f"run_dir='{self.folder / name}'")

    def _input_size(self) -> int:
        if self.section.toy:
            return 32
        return 96 if self.setting.drawn else self.pair.input_size

    def _files(self) -> list[str]:
        """Pretrained weights, as far as they are there."""
        encoder, glove = find(self.section.weights, self.pair.encoder), find(self.section.weights, "glove*.txt", "glove/*.txt")
        chosen = self._random() if encoder is None else [f"encoder.weights='{encoder}'"]
        if "resnet" in self.pair.baseline:
            chosen = [*chosen, "decoder.glove=null" if glove is None else f"decoder.glove='{glove}'"]
        return chosen

    def _random(self) -> list[str]:
        """What an encoder without weights is told; nothing where a run that had some is the start."""
        return [] if find(self.section.weights, self.pair.encoder) else list(self.pair.random)

    def _evaluate(self) -> None:
        """Both runs side by side."""
        runs = f"runs={{baseline:['{self.folder / 'baseline'}'],par:['{self.folder / 'par'}']}}"
        conditions = f"conditions=[{','.join(self.setting.conditions)}]"
        which = ["metrics=[BLEU,ROUGE-L,CIDEr]", conditions, f"dataset.limit={self.setting.test}", "generation.batch_size=100"]
        output = self.folder / "evaluation"
        self._command("soli.evaluate", runs, *which, "cost=false", "report=false", *self.setting.runtime, f"output='{output}'")
        comparison = json.loads((output / "comparison.json").read_text(encoding="utf-8"))
        self._add(comparison["variants"])
        found = {variant: {key: about[key] for key in ("scores", "differences")} for variant, about in comparison["variants"].items()}
        self.section.tell(f"{self.pair.name}, comparison", {"protocol": comparison["protocol"], **found})

    def _add(self, variants: dict[str, dict]) -> None:
        for variant, found in variants.items():
            for condition, scores in found["scores"].items():
                self.section.add(f"{self.pair.name}, {variant}, CIDEr at {condition}", scores["CIDEr"]["mean"])
        degraded = {
            name: fmean(found["scores"][each]["CIDEr"]["mean"] for each in self.setting.conditions[1:]) for name, found in variants.items()
        }
        if degraded["baseline"] > 0:
            self.section.add(f"{self.pair.name}, CIDEr of the degraded ones, par over baseline", degraded["par"] / degraded["baseline"])

    def _command(self, module: str, *overrides: str) -> None:
        """Raises SubprocessError when it fails or takes longer than there is time; what it said is printed then."""
        started = time.monotonic()
        command = [sys.executable, "-m", module, *overrides]
        limit = max(5.0, self.section.left)
        try:
            subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, timeout=limit)
        except subprocess.SubprocessError as reason:
            self.section.say((reason.output or b"").decode(errors="replace")[-3000:])
            raise
        self.section.say(f"{self.pair.name}: {module} {overrides[0].partition('=')[2][:40]} took {time.monotonic() - started:.0f} s")


def drawn_data() -> tuple[str, ...]:
    return "dataset=toy", "degradation=toy", "vocabulary.min_count=1", "loader.flip=false"


def length(seconds: float, step: float, per_epoch: int, most_epochs: int) -> tuple[int, int]:
    """Whole epochs, and their steps, that fit into the seconds; a part of an epoch where not even one does."""
    steps = max(1, int(seconds / step))
    if steps < per_epoch:
        return 1, steps
    epochs = min(most_epochs, steps // per_epoch)
    return epochs, epochs * per_epoch


def seconds_of_step(run: Path, batch_size: int) -> float:
    """Of a run's first epoch, after a third of its steps that were logged: its log has the speed since the epoch began."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    first_epoch = [line for line in lines if line["kind"] == "train" and line["epoch"] == 0]
    times = [(line["step"], line["step"] * batch_size / line["images_per_second"]) for line in first_epoch]
    (first, began), (last, ended) = times[len(times) // 3] if len(times) > 1 else (0, 0.0), times[-1]
    return (ended - began) / (last - first)


def find(folder: Path | None, *patterns: str) -> Path | None:
    """The first in the folder that a pattern fits."""
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))] if folder is not None else []
    return found[0].resolve() if found else None


if __name__ == "__main__":
    main()
