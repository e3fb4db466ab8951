"""Golden losses: twenty steps on drawn pictures give the losses that they gave when this file was written."""

import json
from pathlib import Path

import pytest

from soli.training.settings import LoaderSettings, OptimizerSettings
from tests.training.small_runs import VARIANTS, logged, make_model, make_recipe, run, toy_data

GOLDEN = Path(__file__).with_name("golden_losses.json")
CASES = [*((variant, "shared") for variant in VARIANTS), ("half", "frozen"), ("par", "ema")]


def losses(folder, variant, anchor):
    """A refactoring changes none of these; a change that means to is followed by `python -m tests.training.test_golden`."""
    data = toy_data(num_train=40)
    epochs = 2 if variant == "con" else 4
    settings = {"loader": LoaderSettings(batch_size=8), "optimizer": OptimizerSettings(lr=5e-3, warmup_steps=3)}
    run(make_recipe(variant, epochs, anchor, **settings), folder, make_model(data.tokenizer), data)
    return [line["loss"] for line in logged(folder, "train")]


@pytest.mark.parametrize(("variant", "anchor"), CASES)
def test_losses_are_those_of_the_golden_run(variant, anchor, tmp_path):
    found, golden = losses(tmp_path, variant, anchor), json.loads(GOLDEN.read_text())[f"{variant}, {anchor}"]
    assert len(found) == len(golden) == 20
    assert variant == "con" or sum(golden[-5:]) < 0.98 * sum(golden[:5])  # it learns
    assert found == pytest.approx(golden, rel=1e-3, abs=2e-3)  # other processors and versions round differently


if __name__ == "__main__":
    import tempfile

    made = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as scratch:
            made[", ".join(case)] = [round(value, 5) for value in losses(Path(scratch), *case)]
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
