"""The figures of each step, its losses and the norm of its gradients, on their way from the device that computes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


class Figures:
    """Figures are copied while the next step already runs: with a `lag` of 1 the host reads a step's when the one after it was handed over.

    So it never waits for the step it has just begun, and the device never for the host.
    """

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._on_their_way: deque[tuple[int, list[str], Tensor, torch.cuda.Event | None]] = deque()

    def add(self, step: int, named: Mapping[str, Tensor]) -> None:
        """The scalars of a step."""
        values = torch.stack([value.detach().float() for value in named.values()]).to("cpu", non_blocking=True)
        copied = torch.cuda.current_stream().record_event() if next(iter(named.values())).is_cuda else None
        self._on_their_way.append((step, list(named), values, copied))

    def due(self, everything: bool = False) -> Iterator[tuple[int, dict[str, float]]]:
        """The steps, with their numbers, whose figures are to be read by now, or all."""
        while len(self._on_their_way) > (0 if everything else self._lag):
            step, names, values, copied = self._on_their_way.popleft()
            if copied is not None:
                copied.synchronize()
            yield step, dict(zip(names, values.tolist(), strict=True))
