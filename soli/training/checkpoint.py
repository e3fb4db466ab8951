"""The run folder: everything a later command needs, and nothing that is unpickled.

    config.yaml  vocabulary.json  data.json  versions.json    what the run was made of
    metrics.jsonl                                             a line per logged step and per validation
    last.safetensors                                          weights, optimizer state and progress: where to resume
    best.safetensors                                          the weights with the best validation score

A checkpoint is one file, replaced in one step: a failed or killed save leaves the previous one as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from soli.interfaces import SoliError

LAST, BEST = "last.safetensors", "best.safetensors"


@dataclass
class Progress:
    """How far a run has come: `batch` batches of `epoch` epochs of phase number `phase` are done, `step` steps in all."""

    phase: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    best_score: float | None = None
    validations_without_gain: int = 0
    finished: bool = False


def save_checkpoint(path: Path, model: nn.Module, progress: Progress, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Writes the weights, and with `optimizer` its state too, beside `path`, then moves the file into place."""
    tensors = {f"model.{name}": tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    if optimizer is not None:
        tensors |= {f"optimizer.{name}": tensor.detach().contiguous() for name, tensor in _optimizer_tensors(model, optimizer).items()}
    temporary = path.with_suffix(".partial")
    try:
        save_file(tensors, temporary, metadata={"progress": json.dumps(asdict(progress))})
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, SafetensorError) as reason:
        temporary.unlink(missing_ok=True)
        kept = "the previous one is untouched" if path.exists() else "there is no earlier one"
        raise SoliError(
            f"The checkpoint {path} could not be written ({reason}); {kept}. Free some space or give another run_dir, then resume."
        ) from reason


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Progress:
    """Puts the weights of `path` into `model` (and the state into `optimizer`) and returns how far they had come.

    Raises SoliError when the file is missing, damaged or belongs to another architecture; the model is then unchanged.
    """
    tensors, progress = _read(path)
    weights = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    expected = model.state_dict()
    wrong = [
        name
        for name in expected.keys() | weights.keys()
        if name not in expected or name not in weights or expected[name].shape != weights[name].shape
    ]
    if wrong:
        raise SoliError(
            f"{path} belongs to another architecture: {len(wrong)} weights differ, {min(wrong)} among them. Use the config of its own run."
        )
    model.load_state_dict(weights)
    if optimizer is not None:
        _restore_optimizer(
            model, optimizer, {name.removeprefix("optimizer."): tensor for name, tensor in tensors.items() if name.startswith("optimizer.")}
        )
    return progress


def read_progress(path: Path) -> Progress:
    """How far the checkpoint at `path` had come, without reading its weights."""
    return _read(path, only_progress=True)[1]


def _read(path: Path, only_progress: bool = False) -> tuple[dict[str, Tensor], Progress]:
    if not path.is_file():
        raise SoliError(f"There is no checkpoint {path}. Has the run saved one yet? Its folder holds: {_listing(path.parent)}.")
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads(file.metadata()["progress"]))
            return ({} if only_progress else {name: file.get_tensor(name) for name in file.keys()}), progress  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as reason:
        raise SoliError(f"{path} is damaged or no checkpoint of soli ({reason}). Use another checkpoint of the run.") from reason


def _listing(folder: Path) -> str:
    return ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing" if folder.is_dir() else "nothing, it does not exist"


def _parameter_names(model: nn.Module) -> dict[int, str]:
    return {id(parameter): name for name, parameter in model.named_parameters()}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    names = _parameter_names(model)
    return {f"{key}.{names[id(parameter)]}": value for parameter, state in optimizer.state.items() for key, value in state.items()}


def _restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    names = _parameter_names(model)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            suffix = f".{names[id(parameter)]}"
            state = {
                name.removesuffix(suffix): tensor
                for name, tensor in tensors.items()
                if name.endswith(suffix) and "." not in name.removesuffix(suffix)
            }
            if state:
                optimizer.state[parameter] = {key: value if key == "step" else value.to(parameter.device) for key, value in state.items()}
