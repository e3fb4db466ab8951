"""Checkpoints in safetensors, their header, their progress and their settings damaged."""

from __future__ import annotations

import json
import struct
from functools import cache

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from soli.training.checkpoint import STATE, Progress, load_checkpoint, load_weights, read_progress, save_checkpoint
from tests.fuzzing.strategies import ODD_NUMBERS, VALUES, altered, damaged, folder_with, fuzz, only_sentences

SETTINGS = {"seed": 1, "optimizer.lr": 0.1, "phases": ["caption"]}
TYPES = st.sampled_from(["F32", "F64", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "F4", "C64", "X"])


def small_model() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    return model, torch.optim.AdamW(model.parameters())


@cache
def checkpoint() -> tuple[dict, bytes]:
    """The header and the numbers of a checkpoint after a step."""
    model, optimizer = small_model()
    model(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    with folder_with({}) as folder:
        path = folder / "last.safetensors"
        save_checkpoint(path, model, Progress(batch=1, step=1, sums={"loss": 0.5}, best_score=0.1), optimizer, settings=SETTINGS)
        content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def packed(header: object, numbers: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def check(content: bytes) -> None:
    model, optimizer = small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with folder_with({"last.safetensors": content}) as folder:
        path = folder / "last.safetensors"
        with only_sentences():
            progress = read_progress(path)
            assert all(
                isinstance(number, int) and number >= 0 for number in (progress.phase, progress.epoch, progress.batch, progress.step)
            )
            progress.add_figures({"loss": 1.0})
            progress.count_step()
            progress.means()
        with only_sentences():
            load_weights(path, small_model()[0])
        try:
            with only_sentences():
                load_checkpoint(path, model, optimizer, settings=SETTINGS)
                before = {}
        finally:
            after = model.state_dict()
            assert all(value.shape == after[name].shape and value.dtype == after[name].dtype for name, value in before.items())


def test_the_undamaged_checkpoint_is_read() -> None:
    model, optimizer = small_model()
    with folder_with({"last.safetensors": packed(*checkpoint())}) as folder:
        assert load_checkpoint(folder / "last.safetensors", model, optimizer, settings=SETTINGS).sums == {"loss": 0.5}
    assert len(optimizer.state) == 4


@given(content=st.deferred(lambda: damaged(packed(*checkpoint()))))
@fuzz(150)
def test_damaged_bytes(content: bytes) -> None:
    check(content)


@given(name=st.sampled_from(["progress", "settings"]), data=st.data())
@fuzz(150)
def test_progress_and_settings_of_other_types(name: str, data: st.DataObject) -> None:
    header, numbers = checkpoint()
    state = json.loads(header["__metadata__"][STATE])
    check(packed({**header, "__metadata__": {STATE: json.dumps({**state, name: data.draw(altered(state[name], VALUES))})}}, numbers))


@given(
    text=st.text(max_size=9) | st.sampled_from(["[" * 100_000, "1" * 5000, "[]", "null", "{}", '{"progress": 1}']),
    entry=st.text(max_size=9),
)
@fuzz(50)
def test_other_metadata(text: str, entry: str) -> None:
    header, numbers = checkpoint()
    for name in (STATE, entry, "progress"):
        check(packed({**header, "__metadata__": {name: text}}, numbers))


@given(data=st.data(), length=st.none() | ODD_NUMBERS.filter(lambda number: 0 <= number < 1 << 64))
@fuzz(150)
def test_tensors_of_other_shapes_and_types(data: st.DataObject, length: int | None) -> None:
    header, numbers = checkpoint()
    content = packed(data.draw(altered(header, TYPES | VALUES | st.lists(ODD_NUMBERS, max_size=3))), numbers)
    check(content if length is None else struct.pack("<Q", length) + content[8:])
