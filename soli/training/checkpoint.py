"""The run folder: everything a later command needs, and nothing that is unpickled.

    config.yaml  vocabulary.json  data.json  versions.json    what the run was made of
    metrics.jsonl                                             a line per logged step and per validation
    last.safetensors                                          weights, optimizer state and progress: where to resume
    lock                                                      while a training runs: the process that holds it (soli/training/lock.py)
    best.safetensors                                          the weights with the best validation score

A checkpoint is one file, replaced in one step: a failed or killed save leaves the previous one as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from soli.disks import remedy, told
from soli.hub import first_line
from soli.interfaces import SoliError
from soli.json_text import parse_json
from soli.training.agreement import check_settings
from soli.training.damage import belonging, check_progress, check_shapes, checksum
from soli.training.endings import advice
from soli.training.progress import Progress
from soli.training.sharding import placed, whole

LAST, BEST = "last.safetensors", "best.safetensors"
STATE = "state"  # the one entry of a checkpoint's metadata: safetensors writes several in an order of its own, another every time
Found = TypeVar("Found")


def save_checkpoint(
    path: Path,
    model: nn.Module,
    progress: Progress,
    optimizer: torch.optim.Optimizer | None = None,
    companions: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    writes: bool = True,
) -> None:
    """Writes the weights, and what else is given to resume from, beside `path`, then moves the file into place.

    `companions` are other things with a `state_dict()` of tensors, by name. With `writes` false it only hands over its share of them.
    """
    parts = {"model": model.state_dict(), **{companion: thing.state_dict() for companion, thing in (companions or {}).items()}}
    if optimizer is not None:
        parts["optimizer"] = _optimizer_tensors(model, optimizer)
    tensors = _gathered({f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}, writes)
    if not writes:
        return
    temporary = path.with_suffix(".partial")
    state = {"progress": asdict(progress), "settings": settings, "checksum": checksum(tensors)}
    try:
        with open(temporary, "wb") as file:
            mode = os.fstat(file.fileno()).st_mode  # as of the user's other files: safetensors leaves files that only their owner may read
        save_file(tensors, temporary, metadata={STATE: json.dumps(state)})
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, stat.S_IMODE(mode))
        os.replace(temporary, path)
    except (OSError, SafetensorError) as reason:
        with contextlib.suppress(OSError):  # a disk that takes nothing may not give it back either
            temporary.unlink(missing_ok=True)
        kept = "the previous one is untouched" if path.exists() else "there is no earlier one"
        raise SoliError(
            f"The checkpoint {path} could not be written ({told(reason)}); {kept}. {remedy(reason)}, then {advice(path.parent)}."
        ) from reason


def _gathered(tensors: Mapping[str, Tensor], kept: bool) -> dict[str, Tensor]:
    """The tensors in the CPU's memory, those that are divided among processes put together; nothing unless `kept`."""
    found = {}
    for name, tensor in tensors.items():
        put_together = whole(tensor.detach())  # all processes call, one tensor at a time
        if kept:
            found[name] = put_together.cpu().contiguous()
    return found


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    companions: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Progress:
    """Puts the weights of `path` into `model` (and the state into `optimizer` and `companions`) and returns how far they had come.

    Raises SoliError when the file is missing, damaged, belongs to another architecture, or was written under other `settings` than these;
    the model is then unchanged.
    """
    tensors, progress, written = _read(path)
    if settings is not None:
        check_settings(path, written, json.loads(json.dumps(settings)))
    _put(path, _under("model.", tensors), model)
    for name, thing in (companions or {}).items():
        if state := _under(f"{name}.", tensors):
            with belonging(path, name):
                thing.load_state_dict(state)
    if optimizer is not None:
        with belonging(path, "optimizer"):
            _restore_optimizer(model, optimizer, _under("optimizer.", tensors))
    return progress


def load_weights(path: Path, model: nn.Module, optional: Sequence[str] = ()) -> list[str]:
    """Puts the weights of `path` alone into `model`, which may lack (or have too many of) those whose names begin with one of `optional`.

    Returns those of `optional` that both have, but in other shapes: the model's own weights stay. Raises SoliError as load_checkpoint does.
    """
    weights, differing = _under("model.", _read(path)[0]), []
    for prefix in optional:
        present = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(prefix)}
        same = all(name in weights and weights[name].shape == tensor.shape for name, tensor in present.items())
        if present and not same and any(name.startswith(prefix) for name in weights):
            differing.append(prefix)
        taken = {name: weights[name] for name in present} if same else present
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(prefix)} | taken
    _put(path, weights, model)
    return differing


def _put(path: Path, weights: dict[str, Tensor], model: nn.Module) -> None:
    expected = model.state_dict()
    check_shapes(path, {name: tuple(weight.shape) for name, weight in weights.items()}, expected)
    with belonging(path, "model"):
        model.load_state_dict({name: placed(weight, expected[name]) for name, weight in weights.items()})


def _under(prefix: str, tensors: Mapping[str, Found]) -> dict[str, Found]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def read_progress(path: Path) -> Progress:
    """How far the checkpoint at `path` had come, without reading its weights."""
    return _read(path, only_progress=True)[1]


def check_fits(path: Path, model: nn.Module) -> None:
    """Raises SoliError for a checkpoint of another architecture than that of `model`, which may lie on the device "meta".

    No weights are read: a config that describes a giant is found out before there is memory taken for it.
    """
    with _opened(path) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    check_shapes(path, _under("model.", shapes), model.state_dict())


def _read(path: Path, only_progress: bool = False) -> tuple[dict[str, Tensor], Progress, dict[str, Any] | None]:
    """The tensors, the progress, and the settings that it was written with."""
    with _opened(path) as file:
        entries = {name: parse_json(text) for name, text in (file.metadata() or {}).items()}
        state = {"settings": None} | entries.get(STATE, entries)  # earlier versions had an entry for each
        if "progress" not in state:
            raise ValueError("it does not say how far a run had come")
        progress, settings = Progress(**state["progress"]), state["settings"]
        check_progress(progress)
        if not isinstance(settings, dict | None):
            raise TypeError("its settings are no object")
        tensors = {} if only_progress else {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not only_progress and "checksum" in state and state["checksum"] != checksum(tensors):
            raise ValueError("its numbers are not those that were written")
        return tensors, progress, settings


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The safetensors file. Raises SoliError when it is missing, damaged, or found to be no checkpoint while it is open."""
    if not path.is_file():
        raise SoliError(f"There is no checkpoint {path}. Has the run saved one yet? Its folder holds: {_listing(path.parent)}.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, SafetensorError, RuntimeError, LookupError, AttributeError, TypeError, ValueError) as reason:
        others = f"a copy of it, or start a new run with init_from={path.parent}" if path.name == LAST else "another checkpoint of the run"
        raise SoliError(f"{path} is damaged or no checkpoint of soli ({first_line(reason)}). Use {others}.") from reason


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
            if any(tensor.shape not in (parameter.shape, ()) for tensor in state.values()):
                raise ValueError(f"{suffix[1:]} has another shape")
            if state:
                optimizer.state[parameter] = {
                    key: value if key == "step" else placed(value.to(parameter.device), parameter) for key, value in state.items()
                }
