"""One process or many: the accelerator (device, precision, DDP under torchrun), and how a step is shared between processes and parts.

A step is the same whatever the number of processes: `loader.batch_size` photographs, of which each process takes a contiguous share.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from torch import Tensor

from soli.interfaces import SoliError
from soli.training.settings import LoaderSettings

Item = TypeVar("Item")
PATIENCE = 1.0  # seconds in which the main process says why it ends: torchrun ends all others with the first that has failed


def start(device: torch.device, precision: str = "fp32") -> Accelerator:
    """The accelerator of a training on `device`. Raises SoliError for fp16 on a CPU, and where accelerate was told to use its own FSDP.

    Accelerate keeps one state for the whole Python process; what an earlier training left is dropped, unless torchrun's group of processes
    belongs to it.
    """
    if precision == "fp16" and device.type == "cpu":
        raise SoliError("runtime.precision=fp16 needs a CUDA device: on a CPU use bf16 or fp32.")
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        raise SoliError(
            "accelerate's FSDP would divide the whole captioner, which generates captions too: use torchrun and runtime.shard=true."
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    mixed_precision = "no" if precision == "fp32" else precision
    return Accelerator(mixed_precision=mixed_precision, cpu=device.type == "cpu", device_placement=False)


def is_first_process() -> bool:
    """Whether this is process 0 of torchrun, asked without an accelerator; a process alone is."""
    return os.environ.get("RANK", "0") == "0"


def local_device(device: torch.device) -> torch.device:
    """The device of this process: under torchrun that of its local rank, where `device` names no particular one."""
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    if device.type != "cuda" or device.index is not None:
        return device
    if local_rank >= torch.cuda.device_count():
        raise SoliError(f"This machine has {torch.cuda.device_count()} CUDA devices: start at most as many processes (--nproc_per_node).")
    return torch.device("cuda", local_rank)


def split(items: Sequence[Item], number: int) -> list[list[Item]]:
    """`items` in `number` contiguous parts, whose sizes differ by at most one."""
    size, rest = divmod(len(items), number)
    ends = [part * size + min(part, rest) for part in range(number + 1)]
    return [list(items[first:last]) for first, last in pairwise(ends)]


@dataclass(frozen=True)
class Share:
    """The photographs of a step, how many of them each process takes, and those of this process in its parts."""

    indices: list[int]
    counts: list[int]
    rank: int
    parts: list[list[int]]

    @classmethod
    def of(cls, indices: list[int], accelerator: Accelerator, accumulation: int) -> Share:
        mine = split(indices, accelerator.num_processes)
        rank = accelerator.process_index
        return cls(indices, [len(part) for part in mine], rank, split(mine[rank], accumulation))

    def first(self, part: int) -> int:
        """The place, in the step, of the first photograph of a part of this process."""
        return sum(self.counts[: self.rank]) + sum(len(earlier) for earlier in self.parts[:part])


def steps_of(order: Sequence[int], batch_size: int) -> list[list[int]]:
    """An epoch's order in steps of at most `batch_size` photographs, as equal in size as can be."""
    return split(order, math.ceil(len(order) / batch_size))


def check_shares(num_photographs: int, loader: LoaderSettings, num_processes: int, least: int = 1) -> None:
    """Raises SoliError when a process would have a part without photographs, or a step fewer than `least` (what the negatives need)."""
    smallest = num_photographs // math.ceil(num_photographs / loader.batch_size)
    where = f"loader.batch_size={loader.batch_size} makes steps of {smallest} of the {num_photographs} training photographs"
    if smallest < least:
        raise SoliError(f"{where}: the negatives are the other photographs of a step. Give {least} or more.")
    if smallest < num_processes * loader.accumulation:
        raise SoliError(
            f"{where}, too few for {num_processes} processes with loader.accumulation={loader.accumulation}: "
            "each takes at least a photograph in each of its parts. Raise loader.batch_size, or start fewer processes."
        )


def gather_rows(accelerator: Accelerator, rows: Tensor, counts: Sequence[int]) -> Tensor:
    """The rows (n, ...) of all processes in order, without gradients; `counts` are how many each of them has."""
    rows = rows.detach()
    if accelerator.num_processes == 1:
        return rows
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows
    blocks = accelerator.gather(padded).split(max(counts))
    return torch.cat([block[:count] for block, count in zip(blocks, counts, strict=True)])


def sum_over_processes(accelerator: Accelerator, values: Tensor) -> Tensor:
    return accelerator.reduce(values, "sum") if accelerator.num_processes > 1 else values


@contextmanager
def as_one(accelerator: Accelerator) -> Iterator[None]:
    """Around what the main process alone looks at or does. Where that is refused, the others raise SystemExit, without a word of theirs."""
    try:
        yield
    except Exception:
        from_main(accelerator, True)
        raise
    if from_main(accelerator, False):
        time.sleep(PATIENCE)
        raise SystemExit(1)


def from_main(accelerator: Accelerator, value: Any) -> Any:
    """What the main process has, for all of them."""
    return broadcast_object_list([value])[0] if accelerator.num_processes > 1 else value
