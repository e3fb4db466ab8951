"""scripts/gpu_check: sections that fail or hang are reported and lose nothing, figures are judged, and each section works at toy size."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import soli
from soli.datasets import Flickr8kDataset, ToyDataset
from tests import conftest
from tests.processes import is_alive

FOLDER = Path(__file__).parents[1] / "scripts" / "gpu_check"
PLACES = (FOLDER, FOLDER.parent / "benchmark")


@pytest.fixture
def script(monkeypatch):
    """Imports a file of the folder by its name, as its neighbours do when it is run; afterwards no test sees it."""
    for place in reversed(PLACES):
        monkeypatch.syspath_prepend(place)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if any(str(place) in str(getattr(sys.modules[name], "__file__", "")) for place in PLACES):
            del sys.modules[name]


@pytest.fixture
def section(script, tmp_path):
    return script("section").Section(torch.device("cpu"), True, 100.0, tmp_path / "found.json")


def found(section):
    """The figures that are on disk."""
    return {figure["name"]: figure["value"] for figure in json.loads(section.output.read_text())["figures"]}


# Sections that stand for real ones; each is told --output, and --results, where the check writes.
BEGIN = """
import json, pathlib, subprocess, sys, time
options = dict(option[2:].partition("=")[::2] for option in sys.argv[1:])
def write(*figures):
    keys = ("name", "value", "unit", "wanted")
    pathlib.Path(options["output"]).write_text(json.dumps({"figures": [dict(zip(keys, figure)) for figure in figures], "details": {}}))
"""
GOOD = 'write(("fast", 0.97, "", 0.95), ("slow", 19_000, "images/s", 20_000), ("told", 3.0, "s", None), ("lost", None, "", 1.0))'
FAILING = 'write(("before it failed", 1.0, "", None)); print("a bar 10%|"); raise SystemExit("it broke")'
HANGING = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
write(("child", child.pid, "", None)); print("hangs", flush=True); time.sleep(60)
"""
LAST = """
sections = json.loads(pathlib.Path(options["results"]).read_text())["sections"]
write(("sections on disk", len(sections), "", None))
"""


@pytest.fixture
def check(script, tmp_path):
    """The module, its plans replaced by sections with these contents; and what it makes of them."""
    module = script("check")

    def plans(**contents):
        for name, content in contents.items():
            (tmp_path / f"{name}.py").write_text(BEGIN + content, encoding="utf-8")
        return [module.Plan(name, tmp_path / f"{name}.py", 3.0, 3.0) for name in contents]

    def run(seconds=60.0, **contents):
        output, about = tmp_path / "results.json", {"toy": False, "device": "none"}
        results = module.run_all(plans(**contents), [f"--results={output}"], about, output, time.monotonic() + seconds)
        assert json.loads(output.read_text()) == results
        return results

    return SimpleNamespace(module=module, plans=plans, run=run)


def test_sections_that_fail_or_hang_are_reported_and_the_others_run(check, capsys):
    results = check.run(hanging=HANGING, failing=FAILING, last=LAST)["sections"]
    outcomes = {name: section["outcome"] for name, section in results.items()}
    assert outcomes == {"hanging": "stopped after 3 s", "failing": "failed (exit code 1)", "last": "ran"}
    assert results["failing"]["figures"][0]["name"] == "before it failed" and results["failing"]["said"] == ["it broke"]
    assert results["hanging"]["said"] == ["hangs"] and not is_alive(results["hanging"]["figures"][0]["value"])
    assert results["last"]["figures"][0]["value"] == 2 and "said" not in results["last"]  # all before it was written before it began
    assert "s] failing: it broke" in capsys.readouterr().out


def test_a_section_for_which_no_time_is_left_is_not_run(check):
    results = check.run(seconds=5.0, good=GOOD)
    assert results["sections"]["good"]["outcome"] == "not run: no time was left" and "good: not run" in check.module.table(results)


def test_the_table_says_what_is_met_and_what_is_missed(check):
    results = check.run(good=GOOD)
    lines = {line.split("  ")[0]: line for line in check.module.table(results).splitlines()}
    assert lines["good: fast"].split()[-4:] == ["0.97", ">=", "0.95", "met"]
    assert lines["good: slow"].split()[-5:] == ["19,000", "images/s", ">=", "20,000", "missed"]
    assert lines["good: told"].split()[-2:] == ["3", "s"]
    assert lines["good: lost"].split()[2:] == ["not", "finite", ">=", "1", "missed"]
    toy = check.module.table({**results, "toy": True})
    assert "met" not in toy.split() and "missed" not in toy.split() and "no figure is judged" in toy


@pytest.mark.parametrize(("content", "code"), [(GOOD, 0), (FAILING, 1)])
def test_the_exit_code_tells_whether_all_ran_not_what_was_missed(check, monkeypatch, capsys, tmp_path, content, code):
    monkeypatch.setattr(check.module, "PLANS", check.plans(only=content))
    monkeypatch.setattr(sys, "argv", ["check.py", "--cpu", f"--output={tmp_path / 'figures.json'}"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        check.module.main()
    assert ended.value.code == code
    written = json.loads((tmp_path / "figures.json").read_text())
    assert written["device"] == "cpu" and written["versions"]["torch"] == torch.__version__.partition("+")[0] and written["date"]
    assert str(tmp_path / "figures.json") in capsys.readouterr().out


def test_a_check_that_is_told_to_end_keeps_what_it_has_and_ends_its_section(check, tmp_path):
    (plan,) = check.plans(hanging=HANGING)
    program = f"""
import check, pathlib, signal, time
signal.signal(signal.SIGTERM, signal.default_int_handler)
plan = check.Plan("hanging", pathlib.Path({str(plan.script)!r}), 50.0, 50.0)
check.run_all([plan], [], {{"toy": False}}, pathlib.Path({str(tmp_path / "results.json")!r}), time.monotonic() + 60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PLACES))}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL) as process:
        results = tmp_path / "results.json"
        while not results.exists() or not json.loads(results.read_text())["sections"]["hanging"]["figures"]:
            assert process.poll() is None
            time.sleep(0.1)
        process.terminate()
        assert process.wait(20) != 0
    section = json.loads(results.read_text())["sections"]["hanging"]
    assert section["outcome"] == "running" and not is_alive(section["figures"][0]["value"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--cpu", "--photographs=nowhere"], "--photographs=nowhere is not a folder"),
        (["--cpu", "--weights=nowhere"], "--weights=nowhere is not a folder"),
        (["--cpu", "--output=nowhere/figures.json"], "would lie in a folder that does not exist"),
        (["--cpu", "--only=tests,nothing"], "no section 'nothing'; there are tests, step, degradations, generation, training"),
        ([], "There is no CUDA device here"),
    ],
)
def test_mistakes_get_a_sentence(check, monkeypatch, capsys, options, sentence):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["check.py", *options])
    with pytest.raises(SystemExit) as ended:
        check.module.main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and sentence in said.err and said.err.count("\n") == 1 and not said.out


def test_the_command_names_a_python_that_is_not_there_and_one_without_pytorch(tmp_path):
    empty = tmp_path / "python"
    empty.write_text("#!/bin/sh\nexit 1\n")
    empty.chmod(0o755)
    for python, sentence in ((tmp_path / "none", "There is no"), (empty, "has no PyTorch")):
        answer = subprocess.run([f"{FOLDER}.sh", "--cpu"], capture_output=True, text=True, env={**os.environ, "PYTHON": str(python)})
        assert answer.returncode == 2 and sentence in answer.stderr and str(python) in answer.stderr


def test_a_section_that_fails_in_part_goes_on_and_fails_at_its_end(section, capsys):
    section.add("first", 1.0)
    with section.attempt("second"):
        raise ValueError("wrong")
    section.add("third", float("nan"), wanted=1.0)
    assert found(section) == {"first": 1.0, "third": None} and "ValueError: wrong" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="failed: second"):
        section.end()


def test_without_a_device_tests_marked_cuda_are_skipped_and_no_others(monkeypatch):
    marks = {"one": [], "other": []}
    items = [
        SimpleNamespace(get_closest_marker=lambda _, name=name: name == "one" or None, add_marker=marks[name].append) for name in marks
    ]
    for available in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        conftest.pytest_collection_modifyitems(items)
        assert len(marks["one"]) == (not available)
    assert marks["one"][0].kwargs == {"reason": "needs a CUDA device"} and marks["other"] == []


def test_tests_are_found_and_collected(script, section):
    tests = script("cuda_tests")
    files = tests.files_with_tests()
    assert "tests/training/test_loop_on_cuda.py" in files and "tests/test_gpu_check.py" not in files
    assert tests.collect(section, ["tests/negatives/test_adversarial.py"]) and found(section) == {"tests collected": 1}
    assert not tests.collect(section, ["tests/test_spelling.py"])


def test_outcomes_of_tests_are_counted_as_they_come(script, section, monkeypatch):
    tests = script("cuda_tests")
    lines = [
        "tests/a.py::one PASSED [ 33%]",
        "tests/a.py::two[x y] FAILED [ 66%]",
        "tests/a.py::three PASSED",
        "FAILED tests/a.py::two[x y]",
    ]

    def pytest_says(options, status):
        yield from lines
        status.append(1)

    monkeypatch.setattr(tests, "pytest", pytest_says)
    assert not tests.run(section, ["tests/a.py"])
    assert found(section) == {"tests passed": 2, "share of tests that passed": 2 / 3}
    assert section.details["outcomes"] == {
        "counts": {"PASSED": 2, "FAILED": 1},
        "not passed": ["tests/a.py::two[x y]"],
        "last": "tests/a.py::three",
    }


def test_degradations_are_timed_and_must_be_those_of_the_cpu(script, section, monkeypatch):
    degrading = script("degrading")
    monkeypatch.setattr(sys, "argv", ["degrading.py", "--cpu", f"--output={section.output}"])
    degrading.main()
    assert len(found(section)) == 4 and min(found(section).values()) > 0
    batch = degrading.draw(4, degrading.SMALL, "crop", seed=0)
    assert {photograph.shape for photograph in batch.photographs} == {(3, 48, 64), (3, 64, 48)}
    other = replace(batch, photographs=[255 - photograph for photograph in batch.photographs])
    monkeypatch.setattr(degrading.Batch, "on", lambda *_: other)
    with pytest.raises(AssertionError, match="the device's views differ from the CPU's"):
        degrading.check(section, batch, "crop")


def test_generation_is_timed_and_must_be_that_of_transformers_in_single_precision(script, section, monkeypatch):
    captioning = script("captioning")
    captioning.measure(section, captioning.PRECISIONS[1])
    assert found(section)["bf16, autocast, times as fast"] > 0
    contest = captioning.build(section, captioning.PRECISIONS[0])
    monkeypatch.setattr(captioning, "build", lambda *_: replace(contest, peer=lambda: [[-1], *contest.peer()[1:]]))
    with pytest.raises(AssertionError, match="only 75% of the captions"):
        captioning.measure(section, captioning.PRECISIONS[0])
    assert found(section)["fp32, share of the same captions"] == 0.75  # it is told before


@pytest.fixture
def setting(script, section, tmp_path):
    step = script("whole_step")
    sizes = step.Sizes(batch_size=2, timed=2, drawn=4, workers=1)
    return step.Setting(section, sizes, step.Peaks(1e12, 2e12), step.draw_data(tmp_path / "photographs", sizes))


def operations_by_hand(pairs, captions=5, words=21, tokens=5, width=32, vocabulary=200):
    """Of two views that learn and a third one that is only looked at: ViT and GPT-2 of two layers, 32 wide; products count twice."""
    patches = (tokens - 1) * 3 * 256 * width
    vit = 2 * (tokens * (4 * width**2 + 2 * width * 48) + 2 * tokens**2 * width)
    queries = captions * words
    own = queries * 4 * width**2 + 2 * queries * words * width
    cross = 2 * queries * width**2 + tokens * 2 * width**2 + 2 * queries * tokens * width
    gpt2 = 2 * (own + cross + 8 * queries * width**2) + queries * width * vocabulary
    return 2 * pairs * (2 * (3 * vit + patches + 3 * gpt2) + vit + patches)


def test_a_step_of_the_loop_is_timed_beside_the_bare_one(script, setting):
    step = script("whole_step")
    step.measure(setting, step.PAIRS[0], compiles=False)
    figures, name = found(setting.section), step.PAIRS[0].name
    assert figures[f"{name}, loop against bare"] == pytest.approx(figures[f"{name}, bare step"] / figures[f"{name}, step of the loop"])
    assert figures[f"{name}, end to end"] == pytest.approx(2 / figures[f"{name}, step of the loop"])
    assert setting.operations[name] == pytest.approx(
        operations_by_hand(pairs=2), rel=0.005
    )  # the distances between embeddings are products too
    use = setting.operations[name] / figures[f"{name}, step of the loop"]
    assert figures[f"{name}, model FLOPs utilisation, of the vendor's peak"] == pytest.approx(use / 2e12)
    assert max(setting.section.details[f"{name}, bare step's differences from the loop's"].values()) < 1e-3


def test_a_bare_step_that_is_not_the_loops_is_refused(script, setting, monkeypatch):
    step, bare = script("whole_step"), script("bare_step")
    honest = bare.BareStep.loss
    monkeypatch.setattr(bare.BareStep, "loss", lambda *arguments: 1.05 * honest(*arguments))
    with pytest.raises(AssertionError, match="the loop's first step and a bare one differ"):
        step.measure(setting, step.PAIRS[1], compiles=False)


def test_workers_have_the_memory_that_they_share(script, monkeypatch):
    step = script("whole_step")
    for free, workers in ((2**40, 12), (500_000_000, 4), (0, 1)):
        monkeypatch.setattr(step.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert step.fitting_workers(12, 64) == (workers if Path("/dev/shm").is_dir() else 12)


@pytest.mark.parametrize(("seconds", "expected"), [(100, (2, 40)), (29, (1, 20)), (12, (1, 12)), (-3, (1, 1)), (999, (5, 100))])
def test_a_training_is_as_long_as_time_allows(script, seconds, expected):
    assert script("short_training").length(seconds, 1.0 if seconds < 50 else 2.0, per_epoch=20, most_epochs=5) == expected


@pytest.mark.parametrize(("steps", "expected"), [([1, 10, 20, 30], 0.2), ([1], 5.0)])
def test_the_speed_of_steps_is_read_from_the_log_of_the_first_epoch(script, tmp_path, steps, expected):
    seconds = {1: 5.0, 10: 10.0, 20: 12.0, 30: 14.0}
    lines = [{"kind": "train", "epoch": 0, "step": step, "images_per_second": step * 8 / seconds[step]} for step in steps]
    others = [{"kind": "train", "epoch": 1, "step": 40, "images_per_second": 3.0}, {"kind": "validation", "epoch": 0}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, [*lines, *others])))
    assert script("short_training").seconds_of_step(tmp_path, 8) == pytest.approx(expected)


@pytest.fixture
def commands(script, monkeypatch):
    """What the chain of a pair would run; the files that it reads are written."""
    training, asked = script("short_training"), []

    def command(chain, module, *overrides):
        asked.append((module, overrides))
        given = dict(override.split("=", 1) for override in overrides)
        folder = Path(given.get("run_dir", given.get("output")).strip("'"))
        folder.mkdir()
        lines = [{"kind": "train", "epoch": 0, "step": step, "images_per_second": 64.0} for step in (1, 10, 20, 30)]
        (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        (folder / "data.json").write_text(json.dumps({"splits": {"train": {"photographs": 640}}}))
        scores = {condition: {"CIDEr": {"mean": 0.5}} for condition in chain.setting.conditions}
        variants = {variant: {"scores": scores, "differences": {}, "runs": [str(folder)]} for variant in ("baseline", "par")}
        (folder / "comparison.json").write_text(json.dumps({"protocol": "", "variants": variants}))

    monkeypatch.setattr(training.Chain, "_command", command)
    return training, asked


@pytest.mark.parametrize("pair", [0, 1])
@pytest.mark.parametrize("has_weights", [True, False])
@pytest.mark.parametrize("kind", ["toy", "drawn", "photographs"])
def test_the_commands_of_a_training_are_settings_that_soli_has(commands, section, tmp_path, kind, has_weights, pair):
    training, asked = commands
    (tmp_path / "weights" / "glove").mkdir(parents=True)
    for name in ("vit-tiny-imagenet", "resnet18.pth", "glove/glove.txt") if has_weights else ():
        (tmp_path / "weights" / name).touch()
    section = replace(section, toy=kind == "toy", weights=tmp_path / "weights", photographs=tmp_path if kind == "photographs" else None)
    chain = training.Chain(section, training.Setting.of(section), training.PAIRS[pair], tmp_path / "runs")
    chain.run()
    assert [module for module, _ in asked] == ["soli.train"] * 3 + ["soli.evaluate"] and section.failures == []
    configs = [soli.compose(list(overrides)) for _, overrides in asked[:3]]
    assert [config.variant.phases.keys() == {"joint"} for config in configs] == [False, False, True]
    baseline, par = configs[1:]
    assert par.init_from == baseline.run_dir == str(tmp_path / "runs" / "baseline")
    assert baseline.runtime.max_steps >= 1 and baseline.dataset._target_.endswith("Flickr8kDataset") == (kind == "photographs")
    assert (baseline.encoder.weights is not None) == has_weights
    same = ("stages", "input_size", "finetune_from", "batch_norm", "architecture")
    assert [key for key in same if key != "input_size" and baseline.encoder.get(key) != par.encoder.get(key)] == []
    assert baseline.decoder.architecture == par.decoder.architecture if pair == 0 else baseline.decoder.hidden_dim == par.decoder.hidden_dim
    assert found(section)[f"{training.PAIRS[pair].name}, CIDEr of the degraded ones, par over baseline"] == 1.0
    assert str(tmp_path) not in section.output.read_text()  # it may be committed


def test_a_command_that_fails_is_told_with_what_it_said(script, section, tmp_path, capsys):
    training = script("short_training")
    chain = training.Chain(section, training.Setting.of(section), training.PAIRS[0], tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        chain._command("soli.train", "experiment=nothing")
    assert "nothing" in capsys.readouterr().out


@pytest.fixture
def flickr8k(tmp_path):
    """Drawn pictures in the layout of Flickr8k: 24, 4 and 4 of them."""
    toy = ToyDataset(num_train=24, num_val=4, num_test=4)
    entries = []
    (tmp_path / "flickr8k" / "images").mkdir(parents=True)
    for split in toy.splits:
        for number, example in enumerate(toy.examples(split)):
            name = f"{split}{number}.png"
            Image.fromarray(toy.read_image(example)).resize((400, 300)).save(tmp_path / "flickr8k" / "images" / name)
            entries.append({"filename": name, "split": split, "sentences": [{"raw": caption} for caption in example.captions]})
    (tmp_path / "flickr8k" / "dataset_flickr8k.json").write_text(json.dumps({"images": entries}))
    return tmp_path / "flickr8k"


def test_photographs_are_packed_in_proportion_until_the_folder_is_full(script, flickr8k, tmp_path, monkeypatch, capsys):
    pack = script("pack")
    monkeypatch.setattr(sys, "argv", ["pack.py", f"--photographs={flickr8k}", f"--to={tmp_path / 'packed'}", "--megabytes=0.1"])
    pack.main()
    assert "photographs in" in capsys.readouterr().out
    packed, whole = Flickr8kDataset(str(tmp_path / "packed")), Flickr8kDataset(str(flickr8k))
    sizes = {split: len(packed.examples(split)) for split in packed.splits}
    assert 8 <= sum(sizes.values()) < 32 and sizes["train"] >= 4 * sizes["val"] and abs(sizes["val"] - sizes["test"]) <= 1
    for split in sizes:
        for one, other in zip(packed.examples(split), whole.examples(split), strict=False):
            assert one.captions == other.captions and packed.read_image(one).shape == (120, 160, 3)
    archive = subprocess.run(["tar", "-cf", "-", "-C", str(tmp_path), "packed"], capture_output=True, check=True).stdout
    assert 0.07 * 2**20 < len(archive) < 0.12 * 2**20  # a tar file ends on 10 kB
    with pytest.raises(SystemExit):
        pack.main()
    assert "is there already" in capsys.readouterr().err


def test_photographs_are_not_packed_where_git_would_commit_them(script):
    pack = script("pack")
    if subprocess.run(["git", "-C", str(FOLDER), "rev-parse"], capture_output=True).returncode:
        pytest.skip("not a git checkout")
    assert pack.would_be_committed(FOLDER / "photographs")
    assert not pack.would_be_committed(FOLDER.parents[1] / "data" / "photographs")
