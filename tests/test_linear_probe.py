"""scripts/linear_probe.py: on real photographs, on a run, and what it refuses."""

import importlib.util
import sys
from pathlib import Path

import pytest

from soli.encoders import TinyEncoder
from soli.interfaces import SoliError
from tests.test_commands import trained  # noqa: F401 - a fixture

SCRIPT = Path(__file__).parents[1] / "scripts" / "linear_probe.py"
TOY = ["dataset=toy", "dataset.num_train=30", "dataset.num_val=4", "dataset.num_test=4"]


@pytest.fixture
def probe(monkeypatch, capsys):
    """Runs the script; returns what it printed."""
    spec = importlib.util.spec_from_file_location("linear_probe", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["linear_probe.py", *arguments])
        script.main()
        return capsys.readouterr().out

    return run


def accuracies(table: str) -> dict[str, list[float]]:
    return {line.split()[0]: [float(number) for number in line.split()[1:]] for line in table.splitlines()[2:]}


def test_features_of_a_pretrained_vit_tell_dogs_on_real_photographs(probe, flickr8k_root, weights_root):
    data = ["dataset=flickr8k", f"dataset.root={flickr8k_root}", "dataset.reference_side=500"]
    table = probe("--photographs", "300", "--", "encoder=vit_tiny", f"encoder.weights={weights_root / 'vit-tiny-imagenet'}", *data)
    found = accuracies(table)
    assert found["original"][0] > 0.88  # of 2,400 photographs .95
    assert 0.5 < found["R0.1S50"][1] < found["original"][0]
    assert "the 150 that were held out" in table


def test_the_encoder_of_a_run_is_probed_with_its_dataset(probe, trained):  # noqa: F811
    table = probe("--run", str(trained), "--words", "circle", "--photographs", "12", "--conditions", "R0.1S50", "R0.05S1")
    assert list(accuracies(table)) == ["original", "R0.1S50", "R0.05S1"] and table.startswith("12 photographs, half with circle")
    with pytest.raises(SoliError, match="leave out dataset=toy"):
        probe("--run", str(trained), "--", "dataset=toy")


def test_with_a_cache_the_second_run_prints_the_same_and_encodes_nothing(probe, tmp_path, monkeypatch):
    arguments = ["--words", "circle", "--photographs", "20"]
    overrides = ["encoder=tiny", *TOY]
    calls = []
    forward = TinyEncoder.forward
    monkeypatch.setattr(TinyEncoder, "forward", lambda encoder, images: calls.append(len(images)) or forward(encoder, images))
    without = accuracies(probe(*arguments, "--", *overrides))
    assert sum(calls) == 40
    first = probe(*arguments, "--cache", str(tmp_path), "--", *overrides)
    assert sum(calls) == 40 + 1 + 40  # one image says how many features there are
    assert probe(*arguments, "--cache", str(tmp_path), "--", *overrides) == first and sum(calls) == 81
    found = accuracies(first)  # of features in float16: one of the 10 held out may change sides
    assert found.keys() == without.keys() and all(found[name] == pytest.approx(without[name], abs=0.101) for name in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--words", "unicorn", "--", *TOY], "0 photographs of toy have one of unicorn"),
        (["--conditions", "R9X", "--", *TOY], "R9X"),
        (["--", *TOY, "init_from=somewhere"], "--run with a run"),
        (["--run", "nowhere"], "nowhere is not a run folder"),
    ],
)
def test_mistakes_are_found_before_the_work(probe, arguments, message):
    with pytest.raises(SoliError, match=message):
        probe(*arguments)
