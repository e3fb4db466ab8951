"""An encoder as a torch.export program, which PyTorch runs without soli and without transformers."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn

from soli.interfaces import Encoder, SoliError

TOLERANCE = 1e-5


def write_program(encoder: Encoder, path: Path) -> None:
    """Writes `encoder` for batches of any size: images (N, 3, S, S) in [0, 1] -> features (N, L, D), on the CPU.

    What was written is read again and compared with the encoder itself; raises SoliError when they differ by more than 1e-5.
    """
    assert isinstance(encoder, nn.Module) and not encoder.training
    encoder = copy.deepcopy(encoder).to(memory_format=torch.contiguous_format)  # else saving it warns
    images = torch.rand(3, 3, encoder.input_size, encoder.input_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        program = torch.export.export(encoder, (images,), dynamic_shapes=({0: torch.export.Dim("N")},))
        torch.export.save(program, path)
        written = torch.export.load(path).module()
        difference = max(float((written(batch) - encoder(batch)).abs().max()) for batch in (images, images[:1]))
    if not difference <= TOLERANCE:
        raise SoliError(
            f"The exported program's features differ from the encoder's by {difference:.2g}, more than {TOLERANCE}: "
            "it cannot be relied on. Leave it out with program=false."
        )
