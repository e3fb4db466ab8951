"""Figures that are read a step late, as on CUDA, change no training; and a step reads nothing else back from its device."""

import math
import signal
import traceback

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from soli.interfaces import SoliError
from soli.training import loop
from soli.training.figures import Figures
from soli.training.settings import LoaderSettings, LoggingSettings, RuntimeSettings
from tests.training.small_runs import VARIANTS, logged, make_model, make_recipe, run, same, toy_data
from tests.training.test_resume import stop_at

READING = ("item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "nonzero")


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture
def late(monkeypatch):
    """The figures of a CPU come as late as those of a CUDA device."""
    monkeypatch.setattr(loop, "Figures", lambda lag: Figures(1))


def test_figures_are_read_a_step_late_and_all_of_them_when_asked_for():
    figures = Figures(lag=1)
    read = []
    for step in range(1, 4):
        figures.add(step, {"loss": torch.tensor(float(step)), "norm": torch.tensor(2.0 * step)})
        read.append([number for number, _ in figures.due()])
    assert read == [[], [1], [2]]
    assert list(figures.due(everything=True)) == [(3, {"loss": 3.0, "norm": 6.0})]
    assert list(figures.due(everything=True)) == []


def test_the_log_and_the_weights_are_the_same(data, tmp_path, monkeypatch):
    recipe = make_recipe("par", logging=LoggingSettings(every_steps=3))
    now = run(recipe, tmp_path / "now", make_model(data.tokenizer), data)
    monkeypatch.setattr(loop, "Figures", lambda lag: Figures(1))
    late = run(recipe, tmp_path / "late", make_model(data.tokenizer), data)
    assert same(now, late)
    logs = [[line | {"images_per_second": 0} for line in logged(tmp_path / name)] for name in ("now", "late")]
    assert logs[0] == logs[1] and len(logs[0]) > 3


def test_a_run_that_stops_has_read_all_and_resumes(data, tmp_path, monkeypatch, late):
    recipe = make_recipe("par")
    whole = run(recipe, tmp_path / "whole", make_model(data.tokenizer), data)
    with monkeypatch.context() as patch:
        stop_at(patch, 4, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path / "cut", make_model(data.tokenizer), data)
    assert same(whole, run(recipe, tmp_path / "cut", make_model(data.tokenizer), data, resume=True))
    epochs = [[line["loss"] for line in logged(tmp_path / name, "epoch")] for name in ("whole", "cut")]
    assert epochs[0] == epochs[1]


def test_what_is_not_finite_is_named_by_its_own_step_before_anything_is_saved(data, tmp_path, monkeypatch, late):
    real, calls = loop._figures, iter(range(1, 1000))

    def figures(*arguments):
        named = real(*arguments)
        return {**named, "contrastive": named["contrastive"] * math.nan} if next(calls) == 4 else named

    monkeypatch.setattr(loop, "_figures", figures)
    recipe = make_recipe("par", runtime=RuntimeSettings(save_every_steps=4), loader=LoaderSettings(batch_size=4))
    with pytest.raises(SoliError, match="The contrastive is nan at step 4: training stops; no checkpoint was saved yet"):
        run(recipe, tmp_path / "run", make_model(data.tokenizer), data)


class Reads(TorchDispatchMode):
    """What makes a host wait for a device, on any device: single values, and selections whose size depends on values."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        name = str(function)
        by_mask = name.startswith("aten.index") and any(getattr(one, "dtype", None) == torch.bool for one in arguments[1] or ())
        if by_mask or name in (
            "aten._local_scalar_dense.default",
            "aten.nonzero.default",
            "aten.equal.default",
            "aten.masked_select.default",
        ):
            self.note(name)
        return function(*arguments, **(keywords or {}))

    def note(self, name):
        stack = traceback.extract_stack()
        if any(part in frame.filename for frame in stack for part in ("/torch/optim/", "/torch/utils/data/")):
            return  # counts of steps, and a seed, that lie on the host in any case
        frames = [frame for frame in stack if "/soli/" in frame.filename]
        if any(frame.name == "_train_epoch" for frame in frames):
            self.found.append((name, frames[-1].name, f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"))


def reads_of(monkeypatch, recipe, folder, data):
    """Of all steps: what was read back, and where."""
    with Reads() as reads:
        for name in READING:
            real = getattr(torch.Tensor, name)
            noted = lambda *given, real=real, name=name, **named: (reads.note(name), real(*given, **named))[1]  # noqa: E731
            monkeypatch.setattr(torch.Tensor, name, noted)
        run(recipe, folder, make_model(data.tokenizer), data)
    return reads.found


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_reads_nothing_back_but_its_figures(data, tmp_path, monkeypatch, variant):
    recipe = make_recipe(variant, 1, logging=LoggingSettings(every_steps=100))
    found = reads_of(monkeypatch, recipe, tmp_path, data)
    others = [read for read in found if read[1] != "due"]
    assert len(others) < len(found) and others == []


def test_a_read_in_a_step_is_seen(data, tmp_path, monkeypatch):
    real = loop._figures

    def figures(run, totals, *others):
        totals["caption"].item()
        totals["caption"].view(1)[torch.tensor([True])]
        return real(run, totals, *others)

    monkeypatch.setattr(loop, "_figures", figures)
    names = {name for name, _, _ in reads_of(monkeypatch, make_recipe("par", 1), tmp_path, data)}
    assert {"item", "aten.index.Tensor"} <= names


@pytest.mark.cuda
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_step_waits_for_the_gpu(data, tmp_path, monkeypatch, variant):
    """CUDA's own check: every operation that waits is an error, but where figures are read once in a while."""
    real = loop.Run.read_figures

    def read_figures(run, everything=False):
        torch.cuda.set_sync_debug_mode("default")
        real(run, everything)
        torch.cuda.set_sync_debug_mode("error")

    monkeypatch.setattr(loop.Run, "read_figures", read_figures)
    torch.cuda.set_sync_debug_mode("default")
    try:
        model = make_model(data.tokenizer).cuda()
        run(make_recipe(variant, 1, runtime=RuntimeSettings(device="cuda", max_steps=3)), tmp_path, model, data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
