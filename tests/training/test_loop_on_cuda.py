"""Training on a CUDA device: the losses of the CPU in every variant and with every memory, half precision, resuming, a compiled encoder."""

import gc
import math
import signal

import pytest
import torch

from soli.losses import InfoNCELoss
from soli.training.settings import OptimizerSettings, RuntimeSettings
from tests.training import matching_cases
from tests.training.small_runs import PLAIN, VARIANTS, logged, make_model, make_recipe, numbers, run, toy_data, unequal_data
from tests.training.test_resume import stop_at

pytestmark = pytest.mark.cuda

DEVICE = "cuda"
THREE_STEPS = RuntimeSettings(max_steps=3)
SETTINGS = [*((variant, "shared", {}) for variant in VARIANTS), ("par", "frozen", {}), ("half", "ema", {}), ("par", "shared", "infonce")]


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """Accelerate collects garbage at the end of every training, which takes longer than most trainings here."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def data():
    return toy_data()


@pytest.fixture(autouse=True)
def single_precision():
    """Convolutions as products are: not in TF32, and always by the same sums."""
    assert torch.get_float32_matmul_precision() == "highest"
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def steps(folder):
    """What the log has of each step."""
    return [numbers(line) for line in logged(folder, "train")]


def assert_close(first, second, tolerance):
    assert len(first) == len(second) > 0
    for one, two in zip(first, second, strict=True):
        assert one == pytest.approx(two, rel=tolerance, abs=1e-6)


@pytest.mark.parametrize(("variant", "anchor", "loss"), SETTINGS)
def test_three_steps_have_the_losses_of_the_cpu(data, tmp_path, variant, anchor, loss):
    recipe = make_recipe(variant, 1, anchor=anchor, optimizer=PLAIN, runtime=THREE_STEPS)
    for device in ("cpu", DEVICE):
        parts = {"loss": InfoNCELoss()} if loss else {}
        run(recipe, tmp_path / device, make_model(data.tokenizer, dropout=0.0).to(device), data, **parts)
    assert_close(steps(tmp_path / DEVICE), steps(tmp_path / "cpu"), 1e-3)


@pytest.mark.parametrize("case", [case for case in matching_cases.CASES if case != "kept features"])
def test_memories_and_matching_have_the_losses_of_the_cpu(tmp_path, monkeypatch, case):
    data = unequal_data()
    makers = {name: getattr(matching_cases, name) for name in ("make_model", "make_matching_model")}
    for device in ("cpu", DEVICE):
        (tmp_path / device).mkdir()
        for name, make in makers.items():
            monkeypatch.setattr(matching_cases, name, lambda *given, make=make, device=device, **named: make(*given, **named).to(device))
        matching_cases.train_case(case, tmp_path / device / "run", data, runtime=THREE_STEPS)
    assert_close(steps(tmp_path / DEVICE / "run"), steps(tmp_path / "cpu" / "run"), 1e-3)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_and_stays_finite(data, tmp_path, precision):
    recipe = make_recipe("par", 4, optimizer=OptimizerSettings(lr=5e-3), runtime=RuntimeSettings(precision=precision))
    weights = run(recipe, tmp_path / "run", make_model(data.tokenizer).to(DEVICE), data)
    assert all(value.isfinite().all() for value in weights.values())
    lines = steps(tmp_path / "run")
    assert all(math.isfinite(line["loss"]) and math.isfinite(line["contrastive"]) for line in lines)
    assert lines[-1]["caption"] < lines[0]["caption"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_that_was_stopped_goes_on(data, tmp_path, monkeypatch, precision):
    """With dropout: its draws are those of a run that was not stopped."""
    recipe = make_recipe("par", anchor="ema", optimizer=PLAIN, runtime=RuntimeSettings(precision=precision))
    run(recipe, tmp_path / "whole", make_model(data.tokenizer).to(DEVICE), data)
    with monkeypatch.context() as patches:
        stop_at(patches, 4, signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt, match="after step 4"):
            run(recipe, tmp_path / "cut", make_model(data.tokenizer).to(DEVICE), data)
    run(recipe, tmp_path / "cut", make_model(data.tokenizer).to(DEVICE), data, resume=True)
    assert_close(steps(tmp_path / "cut"), steps(tmp_path / "whole"), 1e-3 if precision == "fp32" else 2e-2)


def test_a_compiled_encoder_has_the_losses_of_one_that_is_not(data, tmp_path):
    for compiles in (False, True):
        recipe = make_recipe("par", 1, optimizer=PLAIN, runtime=RuntimeSettings(max_steps=3, compile=compiles))
        run(recipe, tmp_path / str(compiles), make_model(data.tokenizer, dropout=0.0).to(DEVICE), data)
    assert_close(steps(tmp_path / "True"), steps(tmp_path / "False"), 1e-3)
