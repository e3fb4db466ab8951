"""The commands as a user types them: what they write, what they print, and how they fail."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import soli
from soli.evaluation.journal import Journal

SMALL = (
    "dataset.num_train=24",
    "dataset.num_val=8",
    "dataset.num_test=6",
    "encoder.feature_dim=32",
    "encoder.input_size=32",
    "decoder.hidden_dim=32",
    "decoder.attention_dim=16",
    "decoder.embedding_dim=16",
    "vocabulary.min_count=1",
    "variant.phases.caption.epochs=2",
    "loader.batch_size=8",
    "degradation=toy",
)


@dataclass
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capfd):
    """Calls a command in this process: `run("train", "seed=1")`."""

    def call(command: str, *overrides: object) -> Answer:
        monkeypatch.setattr(sys, "argv", [f"soli-{command}", *map(str, overrides)])
        capfd.readouterr()
        code = 0
        try:
            importlib.import_module(f"soli.{command}").main()
        except SystemExit as stop:
            code = stop.code or 0
        return Answer(code, *capfd.readouterr())

    return call


def failed(answer: Answer) -> str:
    """The message of a command that failed as it should: one sentence, no traceback."""
    assert answer.code != 0, answer.out
    assert "Traceback" not in answer.err + answer.out
    return answer.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of a few steps on the toy data."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    argv, sys.argv = sys.argv, ["soli-train", f"run_dir={folder}", *SMALL]
    try:
        importlib.import_module("soli.train").main()
    except SystemExit as stop:
        assert not stop.code
    finally:
        sys.argv = argv
    return folder


def interrupt_second_batch(monkeypatch):
    """Ctrl-C when the second batch of an evaluation is kept, once. Returns the batches that were kept so far."""
    add, calls = Journal.add, []

    def interrupted(self, entry):
        add(self, entry)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "add", interrupted)
    return calls


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_folder_holds_all_that_a_later_command_needs(trained):
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "vocabulary.json", "data.json", "versions.json", "metrics.jsonl"} <= names
    assert {"last.safetensors", "best.safetensors"} <= names
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").open()]
    assert {line["kind"] for line in lines} == {"train", "epoch", "validation"} and lines[-1]["step"] == 6
    assert {"BLEU-4", "CIDEr", "ROUGE-L", "distinct"} <= lines[-1].keys()
    data = json.loads((trained / "data.json").read_text())
    assert data["splits"]["train"]["photographs"] == 24 and "leaks" in data


def test_evaluation_writes_the_ladder_with_its_protocol(trained, run):
    answer = run("evaluate", f"run={trained}", "metrics=[BLEU,ROUGE-L,CIDEr]")
    assert answer.code == 0, answer.err
    output = trained / "evaluation" / "test"
    metrics = json.loads((output / "metrics.json").read_text())
    assert [row["condition"] for row in metrics["rows"]] == ["original", "R0.1S50", "R0.05S1", "R0.05S50"]
    assert [row["pixels"] for row in metrics["rows"]] == ["96x96", "9x9", "4x4", "4x4"]
    assert metrics["permuted"].keys() < metrics["rows"][0].keys()
    assert {"BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"} <= metrics["rows"][0].keys()
    captions = [json.loads(line) for line in (output / "captions.jsonl").open()]
    assert len(captions) == 6 and len(captions[0]["references"]) == 5
    assert set(captions[0]["captions"]) == {"original", "R0.1S50", "R0.05S1", "R0.05S50"}
    assert len((output / "metrics.csv").read_text().splitlines()) == 6
    for fact in ("BLEU,ROUGE-L,CIDEr|", "beam3", "split:test", "images:6", "refs:5", "data:toy"):
        assert fact in metrics["protocol"]
    assert str(output) in answer.out and "CIDEr" in answer.out
    assert answer.out.splitlines()[-1] == f"Next: python -m soli.caption run={trained} images=<photographs>"


def test_without_java_the_other_metrics_are_reported_and_one_sentence_says_why(trained, run, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = run("evaluate", f"run={trained}", "conditions=[R0.2S1]", "split=val")
    assert answer.code == 0, answer.err
    metrics = json.loads((trained / "evaluation" / "val" / "metrics.json").read_text())
    assert "METEOR" not in metrics["rows"][0] and {"BLEU-4", "ROUGE-L", "CIDEr"} <= metrics["rows"][0].keys()
    assert "Java" in metrics["unavailable"]["METEOR"] and answer.out.count("needs Java") == 1 and "Warning" not in answer.err


def test_a_trained_run_needs_its_pretrained_files_no_more(run, tmp_path):
    weights, glove = tmp_path / "weights.pth", tmp_path / "glove.txt"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), weights)
    glove.write_text("red 1 2\nblue 3 4\na 5 6\n")
    small = [*SMALL[:3], *SMALL[7:], "encoder=resnet18", "encoder.stages=1", "encoder.input_size=32", f"encoder.weights={weights}"]
    decoder = ["decoder=att_lstm_glove", f"decoder.glove={glove}", "decoder.embedding_dim=2", "decoder.hidden_dim=16"]
    folder = tmp_path / "run"
    answer = run("train", *small, *decoder, f"run_dir={folder}")
    assert answer.code == 0, answer.err
    assert "GloVe has" in answer.out
    weights.unlink()
    glove.unlink()
    answer = run("evaluate", f"run={folder}", "metrics=[CIDEr]", "conditions=[R0.5S1]")
    assert answer.code == 0, answer.err


def test_the_scores_are_those_of_the_captions_that_were_written(trained, run):
    run("evaluate", f"run={trained}", "metrics=[CIDEr]", "conditions=[R0.2S1]", "split=val", "generation.num_beams=1")
    output = trained / "evaluation" / "val"
    lines = [json.loads(line) for line in (output / "captions.jsonl").open()]
    from soli.evaluation import score_captions

    again = score_captions([line["captions"]["R0.2S1"] for line in lines], [line["references"] for line in lines], metrics=("CIDEr",))
    assert json.loads((output / "metrics.json").read_text())["rows"][0]["CIDEr"] == pytest.approx(again["CIDEr"], abs=1e-9)


def test_captions_from_the_command_and_from_python_are_the_same(trained, run, tmp_path):
    generator = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (80, 120, 3), dtype=np.uint8)).save(path)
    listed = f"images=[{','.join(map(str, paths))}]"
    plain = run("caption", f"run={trained}", listed, "condition=R0.2S1")
    figures = tmp_path / "figures"
    drawn = run("caption", f"run={trained}", listed, "condition=R0.2S1", f"attention={figures}")
    assert drawn.out == plain.out and {path.suffix for path in figures.iterdir()} == {".png", ".npz"}
    assert f"are in {figures}\nNext: python -m soli.caption run={trained} {listed} condition=original attention=" in drawn.err
    assert "Next" not in plain.err
    as_json = run("caption", f"run={trained}", listed, "condition=R0.2S1", "json=true")
    expected = soli.load(trained).caption(paths, condition="R0.2S1")
    assert plain.out.splitlines() == [f"{path}\t{caption}" for path, caption in zip(paths, expected, strict=True)]
    assert [json.loads(line)["caption"] for line in as_json.out.splitlines()] == expected
    assert soli.load(trained).embed(paths).shape == (2, 32)


def test_a_condition_means_the_same_in_caption_as_in_evaluate(trained, run, tmp_path):
    import shutil

    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    config = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(config.replace("reference_side: null", "reference_side: 960"))
    captioner = soli.load(tmp_path / "run")
    photograph = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    expected = captioner.embed([photograph], condition=soli.degradations.parse("R0.05S1", reference_side=960))
    assert torch.equal(captioner.embed([photograph], condition="R0.05S1"), expected)
    assert not torch.equal(soli.load(trained).embed([photograph], condition="R0.05S1"), expected)


def test_a_folder_or_a_single_file_can_be_captioned(trained, run, tmp_path):
    for name in "ba":
        Image.new("RGB", (50, 40), "red").save(tmp_path / f"{name}.png")
    for name in ("captions.csv", ".DS_Store"):
        (tmp_path / name).write_text("image,caption")
    folder = run("caption", f"run={trained}", f"images={tmp_path}")
    assert [Path(line.split("\t")[0]).name for line in folder.out.splitlines()] == ["a.png", "b.png"], folder.err
    assert f"Left out, as no photographs: {tmp_path / '.DS_Store'}, {tmp_path / 'captions.csv'}" in folder.err
    single = run("caption", f"run={trained}", f"images={tmp_path / 'a.png'}")
    assert single.out.splitlines() == folder.out.splitlines()[:1]


def test_an_evaluation_says_whether_the_run_has_come_to_its_end(trained, run, tmp_path):
    answer = run("evaluate", f"run={trained}", "metrics=[CIDEr]", "conditions=[original]")
    assert answer.code == 0 and "has not come to its end" not in answer.out
    assert run("train", *SMALL, "runtime.max_steps=4", f"run_dir={tmp_path / 'run'}").code == 0
    folder = tmp_path / "run"
    for told in ("was ended by runtime.max_steps", "has not come to its end"):
        answer = run("evaluate", f"run={folder}", "metrics=[CIDEr]", "conditions=[original]")
        assert answer.code == 0 and f"The run {folder} {told}: this is of step 4, or before." in answer.out
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace("max_steps: 4", "max_steps: null"))  # as of one that was interrupted there


def test_few_photographs_are_said_to_be_few(run, tmp_path):
    few = ["dataset=folder", f"dataset.root={tmp_path}", f"run_dir={tmp_path / 'run'}"]
    (tmp_path / "captions.csv").write_text("image,caption,split\n" + "".join(f"{name}.png,a square,{name}\n" for name in ("train", "val")))
    for name in ("train", "val"):
        Image.new("RGB", (50, 40), "red").save(tmp_path / f"{name}.png")
    answer = run("train", *SMALL[3:], *few)
    assert answer.code == 0, answer.err
    assert "no photograph is in the split test: evaluate with split=val" in answer.out
    assert "validation has 1 photograph: a CIDEr of so few says little, and of one it is always 0" in answer.out
    assert answer.out.splitlines()[-1] == f"Next: python -m soli.evaluate run={tmp_path / 'run'} split=val"


def test_evaluation_elsewhere_leaves_the_first_one_alone(trained, run, tmp_path):
    run("evaluate", f"run={trained}", "metrics=[CIDEr]", "conditions=[original]")
    before = files(trained)
    answer = run("evaluate", f"run={trained}", "metrics=[CIDEr]", "conditions=[R0.2S1]", f"output={tmp_path / 'other'}")
    assert answer.code == 0 and (tmp_path / "other" / "metrics.json").exists() and files(trained) == before


def test_the_lines_of_the_readme_find_the_subpackages():
    program = "import soli; soli.evaluation.score_captions; soli.degradations.parse('R0.1S50_GF500'); soli.losses.CaptionLoss"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_a_run_folder_is_never_overwritten(trained, run):
    before = files(trained)
    message = failed(run("train", f"run_dir={trained}", *SMALL))
    assert "already holds a run" in message and f"resume={trained}" in message
    assert files(trained) == before


def test_resuming_a_finished_run_changes_no_weights(trained, run):
    before = (trained / "best.safetensors").read_bytes()
    answer = run("train", f"resume={trained}")
    assert answer.code == 0 and "finished" in answer.out, answer.err
    assert (trained / "best.safetensors").read_bytes() == before


def test_resume_refuses_other_settings(trained, run):
    message = failed(run("train", f"resume={trained}", "optimizer.lr=1"))
    assert "optimizer.lr was 0.001, is 1" in message


def test_the_version_is_had_from_python():
    assert soli.__version__ == soli.version.__version__


def test_a_new_run_gets_a_name_of_its_own(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run("train", "dataset.num_train=8", "dataset.num_val=4", "dataset.num_test=4", "vocabulary.min_count=1", "runtime=smoke")
    assert answer.code == 0, answer.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("toy_tiny_tiny_lstm_baseline_") and "dataset.num_train-8" in folder.name
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("command", "overrides", "culprit"),
    [
        ("train", ["encoder=resnt18"], "resnet18"),
        ("train", ["optimizer.lerning_rate=1"], "optimizer.lr"),
        ("train", ["+foo=1"], "foo"),
        ("train", ["runtime.workers=1.5"], "runtime.workers"),
        ("train", ["decoder=att_lstm_glove"], "decoder.glove"),
        ("train", ["decoder=att_lstm_glove", "decoder.glove=nowhere.txt"], "nowhere.txt"),
        ("train", ["dataset=flickr8k", "dataset.root=nowhere"], "nowhere"),
        ("train", ["encoder=resnet18", "encoder.weights=nowhere.pth"], "nowhere.pth"),
        ("train", ["runtime.device=cuda:99"], "cuda:99"),
        ("train", ["resume=nowhere"], "nowhere"),
        ("train", ["variant.phases.caption.views.clean=[R0.5]"], "R0.5"),
        ("train", ["variant.phases.caption.losses.caption=0", "variant.phases.caption.losses.attention=0"], "losses"),
        ("train", ["vocabulary.min_count=100000"], "min_count"),
        ("train", ["loader.batch_size=0"], "loader.batch_size"),
        ("train", ["decoder=tiny_gpt2", "decoder.train=lora", *SMALL[:3]], "which would be random"),
        ("train", ["encoder=vit_tiny", "encoder.weights=null", "encoder.input_size=40", *SMALL[:3]], "give 32 or 48"),
        ("train", ["degradation.conditions=[R0.1S5O]", *SMALL[:-1]], "R0.1S5O"),
        ("train", ["variant.phases.caption.train.encoder=-1", *SMALL[:-1]], "encoder"),
        ("evaluate", ["run=nowhere"], "nowhere"),
        ("evaluate", [], "run"),
        ("caption", ["run=nowhere", "images=[a.jpg]"], "nowhere"),
    ],
)
def test_mistakes_get_a_sentence(run, tmp_path, monkeypatch, command, overrides, culprit):
    monkeypatch.chdir(tmp_path)
    assert culprit in failed(run(command, *overrides))
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("command", "overrides", "culprit"),
    [
        ("evaluate", ["split=tset"], "test"),
        ("evaluate", ["conditions=[R0.2S1,R0.1]"], "R0.1"),
        ("evaluate", ["conditions=[R0.005S1]"], "R0.005S1"),
        ("evaluate", ["conditions=[]"], "conditions"),
        ("evaluate", ["metrics=[CIDR]"], "CIDEr"),
        ("evaluate", ["generation.num_beams=0"], "num_beams"),
        ("evaluate", ["runtime.threads=0"], "runtime.threads"),
        ("caption", ["images=[nowhere.jpg]"], "nowhere.jpg"),
        ("caption", ["images=[]"], "images"),
    ],
)
def test_mistakes_with_a_run_get_a_sentence_and_leave_it_alone(trained, run, command, overrides, culprit):
    before = files(trained)
    assert culprit in failed(run(command, f"run={trained}", *overrides))
    assert files(trained) == before


def test_a_damaged_run_is_named(trained, run, tmp_path):
    import shutil

    for name, content in (
        ("best.safetensors", b"\x00" * 50),
        ("vocabulary.json", b"[1, 2"),
        ("config.yaml", b"a: [b"),
        ("config.yaml", b"seed: 1"),
    ):
        copy = tmp_path / f"{name}{len(content)}"
        shutil.copytree(trained, copy)
        (copy / name).write_bytes(content)
        assert name in failed(run("evaluate", f"run={copy}"))


def test_a_config_that_names_other_code_is_refused(trained, run, tmp_path):
    import shutil

    copy = tmp_path / "hostile"
    shutil.copytree(trained, copy)
    config = (copy / "config.yaml").read_text().replace("soli.encoders.TinyEncoder", "os.system")
    (copy / "config.yaml").write_text(config)
    assert "os.system" in failed(run("evaluate", f"run={copy}"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(run, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    assert "closed" in failed(run("train", *SMALL, f"run_dir={tmp_path / 'closed' / 'run'}"))


def test_a_file_in_place_of_the_run_folder_is_named(run, tmp_path):
    (tmp_path / "taken").write_text("mine")
    assert "taken" in failed(run("train", *SMALL, f"run_dir={tmp_path / 'taken'}"))
    assert (tmp_path / "taken").read_text() == "mine"


def test_unreadable_photographs_are_all_named_before_training(run, tmp_path):
    (tmp_path / "images").mkdir()
    generator = np.random.default_rng(0)
    for index in range(12):
        Image.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{index}.jpg")
    (tmp_path / "images" / "3.jpg").write_bytes((tmp_path / "images" / "3.jpg").read_bytes()[:200])
    (tmp_path / "images" / "7.jpg").write_bytes(b"")
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 2
    rows = [f"{index}.jpg,a picture of noise number {index},{split}" for index, split in enumerate(splits)]
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption,split", *rows]))
    message = failed(run("train", "dataset=folder", f"dataset.root={tmp_path}", f"run_dir={tmp_path / 'run'}", "vocabulary.min_count=1"))
    assert "3.jpg" in message and "7.jpg" in message and not (tmp_path / "run").exists()
