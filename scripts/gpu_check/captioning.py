"""Captions a second of GPT-2 small by beam search, beside transformers' generate with the same weights: beam 4, 32 photographs, 20 tokens.

PYTHONPATH=.:scripts/benchmark python scripts/gpu_check/captioning.py [--cpu] [--output FILE]

The contest is that of scripts/benchmark/generation.py, on the device: in single precision, where both must find the same captions; under
autocast to bf16, as `runtime.precision=bf16` evaluates; and with weights in bf16. In bf16 the share of captions that agree is told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import transformers
from generation import Captions, Contest, gpt2
from section import Section
from timing import race

WANTED = 3.0  # times as fast as transformers
SMALL = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 64}  # GPT-2 small, but for places that nobody needs here
TOY = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}


@dataclass(frozen=True)
class Precision:
    """A way to compute: the type of weights and features, and what both ways run in."""

    name: str
    dtype: torch.dtype = torch.float32
    autocasts: bool = False

    def around(self, device: torch.device) -> AbstractContextManager:
        return torch.autocast(device.type, torch.bfloat16) if self.autocasts else nullcontext()


PRECISIONS = (Precision("fp32"), Precision("bf16, autocast", autocasts=True), Precision("bf16, weights too", torch.bfloat16))


def main() -> None:
    section = Section.begin(__doc__, seconds=60)
    transformers.utils.logging.set_verbosity_error()
    for precision in PRECISIONS:
        with section.attempt(precision.name):
            measure(section, precision)
    section.end()


def measure(section: Section, precision: Precision) -> None:
    """Times both ways in turn, and compares the captions. Raises AssertionError when some differ in single precision."""
    contest = build(section, precision)
    ours, peer = run_in(precision, section, contest.ours), run_in(precision, section, contest.peer)
    captions = ours(), peer()
    agreed = sum(a == b for a, b in zip(*captions, strict=True)) / contest.num_images
    lengths = [len(words) for words in captions[0]]
    times = race(ours, peer, repeats=2 if section.toy else 7)
    section.tell(precision.name, {"words": [min(lengths), max(lengths)], **times})
    wall = {way: clocks["wall"]["median"] for way, clocks in times["seconds"].items()}
    section.add(f"{precision.name}, soli", contest.num_images / wall["ours"], "images/s")
    section.add(f"{precision.name}, transformers", contest.num_images / wall["peer"], "images/s")
    section.add(f"{precision.name}, times as fast", times["speedup"]["wall"], wanted=WANTED)
    section.add(f"{precision.name}, share of the same captions", agreed, wanted=1.0 if precision.name == "fp32" else None)
    assert precision.name != "fp32" or agreed == 1.0, f"in fp32 only {agreed:.0%} of the captions are those of transformers"


def build(section: Section, precision: Precision) -> Contest:
    """The contest with weights and features of this type on the device."""
    sizes = {"num_words": 200, "num_images": 4, "max_tokens": 8} if section.toy else {"num_words": 50257, "num_images": 32}
    with section.device, default_dtype(precision.dtype):
        return gpt2("toy GPT-2" if section.toy else "GPT-2 small", TOY if section.toy else SMALL, end_gain=5.0, **sizes)


@contextmanager
def default_dtype(dtype: torch.dtype):
    """Within it new tensors of floats have this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def run_in(precision: Precision, section: Section, way: Callable[[], Captions]) -> Callable[[], Captions]:
    """The way to caption, in this precision, until the device is done."""

    def captions() -> Captions:
        with precision.around(section.device):
            found = way()
        section.wait()
        return found

    return captions


if __name__ == "__main__":
    main()
