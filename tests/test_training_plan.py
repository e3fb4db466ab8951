"""What soli.train says before its first step, and a dry run, which says that alone."""

from __future__ import annotations

import shlex

import pytest
import torch
import torchvision
from PIL import Image

from tests.test_commands import SMALL, failed, files, run, trained  # noqa: F401 - fixtures


def test_a_dry_run_prints_the_plan_of_the_training_and_writes_nothing(trained, run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    given = [*SMALL, "features.cache=kept"]
    dry = run("train", *given, "dry_run=true")
    assert dry.code == 0 and not list(tmp_path.iterdir()), dry.err
    *plan, nothing, proposed = dry.out.splitlines()
    assert nothing == "Nothing was trained or written (dry_run=true)."
    real = run("train", *shlex.split(proposed)[4:])
    assert shlex.split(proposed)[4:] == given and real.out.splitlines()[: len(plan)] == plan

    before = files(trained)
    again = run("train", f"resume={trained}", "dry_run=true")
    assert "there is nothing to resume" in again.out and files(trained) == before
    assert "already holds a run" in failed(run("train", f"run_dir={trained}", *SMALL, "dry_run=true"))
    assert run("train", "run_dir=stopped", *SMALL, "runtime.max_steps=4").code == 0
    before = files(tmp_path / "stopped")
    stopped = run("train", "resume=stopped", "dry_run=true", "runtime.max_steps=null")
    assert stopped.code == 0 and "Steps: 6 of up to 8 photographs, 3 an epoch; 4 are done" in stopped.out, stopped.err
    assert stopped.out.endswith("Next: python -m soli.train resume=stopped runtime.max_steps=null\n")
    assert files(tmp_path / "stopped") == before
    assert "dry_run" not in (tmp_path / "stopped" / "config.yaml").read_text()
    refused = run("train", f"init_from={tmp_path / 'nowhere'}", *SMALL, "dry_run=true")
    assert "nowhere is not a run folder" in failed(refused) and "Next" not in refused.out


@pytest.mark.parametrize(("factor", "is_said"), [(1, True), (0.3, False)])
def test_a_pretrained_encoder_at_a_high_rate_is_told(run, tmp_path, factor, is_said):  # noqa: F811
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "weights.pth")
    parts = ["encoder=resnet18", "encoder.stages=1", "encoder.input_size=32", f"encoder.weights={tmp_path / 'weights.pth'}"]
    given = [*parts, *(override for override in SMALL if not override.startswith("encoder")), f"optimizer.factors.encoder={factor}"]
    answer = run("train", *given, "encoder.finetune_from=0", "dry_run=true")
    said = "The encoder is pretrained, and learns at a rate of 0.001" in answer.out
    assert answer.code == 0 and said == is_said and ("Try optimizer.factors.encoder=0.05." in answer.out) == is_said, answer.err


def test_a_reference_side_below_that_of_the_photographs_is_told(run, tmp_path):  # noqa: F811
    for number in range(8):
        Image.new("RGB", (40, 30), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
    splits = ["train"] * 6 + ["val", "test"]
    rows = [f"{number}.png,a picture of {number},{split}" for number, split in enumerate(splits)]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption,split", *rows]))
    small = [override for override in SMALL if not override.startswith("dataset")]
    for side, is_said in ((39, True), (40, False), (60, False)):
        answer = run("train", "dataset=folder", f"dataset.root={tmp_path}", f"dataset.reference_side={side}", *small, "dry_run=true")
        assert answer.code == 0 and ("is less than the photographs' own longer side (40 pixels)" in answer.out) == is_said, answer.err
