"""Checkpoints: what goes in comes out, and nothing is lost when a save fails or a file is damaged."""

import errno
import os

import pytest
import torch
from torch import nn

from soli.interfaces import SoliError
from soli.training import checkpoint
from soli.training.checkpoint import Progress, load_checkpoint, read_progress, save_checkpoint


@pytest.fixture
def trained():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(5, 3)).square().sum().backward()
    optimizer.step()
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_weights_optimizer_and_progress_come_back_to_the_bit(trained, tmp_path):
    model, optimizer = trained
    progress = Progress(phase=1, epoch=2, batch=3, step=40, best_score=0.5)
    save_checkpoint(tmp_path / "last.safetensors", model, progress, optimizer)
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    other_optimizer = torch.optim.AdamW(other.parameters(), lr=0.1)
    assert (
        load_checkpoint(tmp_path / "last.safetensors", other, other_optimizer) == progress == read_progress(tmp_path / "last.safetensors")
    )
    assert torch.equal(step(model, optimizer), step(other, other_optimizer))


def test_a_full_disk_leaves_the_previous_checkpoint(trained, tmp_path, monkeypatch):
    model, optimizer = trained
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(step=1), optimizer)
    before = path.read_bytes()

    def full(_tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(SoliError, match=r"No space left.*previous one is untouched"):
        save_checkpoint(path, model, Progress(step=2), optimizer)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_missing_or_damaged_checkpoint_is_named(trained, tmp_path):
    model, _ = trained
    with pytest.raises(SoliError, match=r"no checkpoint .*best"):
        load_checkpoint(tmp_path / "best.safetensors", model)
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(SoliError, match="damaged"):
        load_checkpoint(path, model)


def test_another_architecture_is_refused_and_the_model_left_alone(trained, tmp_path):
    model, _ = trained
    save_checkpoint(tmp_path / "last.safetensors", model, Progress())
    other = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    before = other[0].weight.clone()
    with pytest.raises(SoliError, match="another architecture"):
        load_checkpoint(tmp_path / "last.safetensors", other)
    assert torch.equal(other[0].weight, before)


@pytest.mark.parametrize("place", [-1, -50, -200])
def test_a_bit_that_a_disk_has_changed_is_found(trained, tmp_path, place):
    model, optimizer = trained
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, model, Progress(step=1), optimizer)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert read_progress(path).step == 1
    with pytest.raises(SoliError, match=r"is damaged.*not those that were written.*init_from="):
        load_checkpoint(path, model, optimizer)


def test_a_checkpoint_is_as_readable_as_the_users_other_files(trained, tmp_path):
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "last.safetensors", trained[0], Progress())
        (tmp_path / "other").write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "last.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode
