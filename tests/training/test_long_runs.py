"""A long training holds no more at its end than at its beginning: objects, tensors, files, threads and processes, each counted.

scripts/long_run_check.py looks at the same from outside, in minutes; its parts are tried here on processes that grow on purpose.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
import torch

from soli.evaluation import CaptionScorer
from soli.evaluation.caption_metrics import REMEMBERED, _counted
from soli.training.loop import train
from soli.training.settings import FeatureSettings, LoaderSettings, Phase, RuntimeSettings
from tests.training.small_runs import make_matching_model, make_recipe, matching, siamese, small_clustered, toy_data

SCRIPTS = Path(__file__).parents[2] / "scripts"
MIDDLE, END = 3, 7  # validations after which is counted
ALLOWED = 60_000  # bytes that come with time: what is kept for errors, progress bars and the like; each planted leak is five times that

VIEWS = {"clean": ["original"], "degraded": ["R0.5S1", "R0.2S50"]}

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")


@pytest.fixture(autouse=True)
def quick_collections():
    """What was there before is neither collected nor counted: there are a million objects of imports."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def script(monkeypatch):
    """Imports a file of scripts/long_run, or the command, as when it is run; afterwards no test sees it."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.syspath_prepend(SCRIPTS / "long_run")
    names = ("process_tree", "growth", "long_run_check")
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def held(script) -> dict[str, int]:
    """What this process holds, without what it could give back."""
    _counted.cache_clear()  # it has a limit of its own, which a short training does not reach
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    now = script("process_tree").look(os.getpid())
    counts = {"files": now.training.files, "threads": now.training.threads, "processes": now.processes}
    return {"objects": tracemalloc.get_traced_memory()[0], "tensors": sum(storages.values()), **counts}


class Validation:
    """A validation that scores captions never seen before, and counts; `leak` is called each time."""

    def __init__(self, script, examples, leak=None):
        self.script, self.leak, self.counts = script, leak, []
        self.words = [caption.split() for caption in examples[0].captions]
        self.random = random.Random(0)
        self.scorer = CaptionScorer([example.captions for example in examples], ["BLEU", "ROUGE-L", "CIDEr"])

    def __call__(self, _distance):
        for _ in range(REMEMBERED // 2):
            scores = self.scorer.score([" ".join(self.random.choices(self.words[0], k=12)) for _ in self.scorer._references])
        if not self.counts:  # later than the imports of a first training, so early that what is replaced all the time was so since
            tracemalloc.start()
        if self.leak:
            self.leak()
        self.counts.append(held(self.script) if len(self.counts) + 1 in (MIDDLE, END) else None)
        return scores

    def growth(self):
        before, after = self.counts[MIDDLE - 1], self.counts[END - 1]
        return {name: after[name] - before[name] for name in before}


CASES = {  # the phase, the worker processes
    "captions, a worker": (Phase(END, {"encoder": 1.0, "decoder": 1.0}, {"caption": 1.0}), 1),
    "both terms, with memories and kept features": (
        Phase(END, {"decoder": 1.0, "encoder": 1.0, "matcher": 1.0}, {"caption": 1.0, "contrastive": 1.0, "matching": 1.0}, VIEWS),
        0,
    ),
}


def grown(case, folder, script, leak=None):
    """Trains END epochs of two steps; what is held at the end more than in the middle."""
    phase, workers = CASES[case]
    data = toy_data(16)
    validate = Validation(script, data.examples[:8], leak)
    features, runtime = FeatureSettings(str(folder / "cache"), "float32"), RuntimeSettings(workers=workers)
    recipe = make_recipe({"only": phase}, anchor="frozen", loader=LoaderSettings(batch_size=8), features=features, runtime=runtime)
    negatives, term = small_clustered(num_clusters=2), matching("cmns", small_clustered(num_clusters=2))
    try:
        train(make_matching_model(data.tokenizer), data, recipe, folder, validate, False, siamese(negatives=negatives), term)
    finally:
        tracemalloc.stop()
    return validate.growth()


@pytest.mark.parametrize("case", CASES)
def test_a_training_holds_no_more_at_its_end(case, tmp_path, script):
    growth = grown(case, tmp_path, script)
    assert growth["objects"] < ALLOWED and growth["tensors"] < ALLOWED, growth
    assert (growth["files"], growth["threads"], growth["processes"]) == (0, 0, 0)


def test_planted_leaks_are_all_seen(tmp_path, script):
    kept, stop = [], threading.Event()
    per_validation = 5 * ALLOWED // (END - MIDDLE)

    def leak():
        kept.append([bytearray(per_validation), torch.zeros(per_validation // 4), open(os.devnull)])  # noqa: SIM115
        threads.append(threading.Thread(target=stop.wait, daemon=True))
        threads[-1].start()
        children.append(subprocess.Popen(["sleep", "600"]))

    threads, children = [], []
    try:
        growth = grown(list(CASES)[1], tmp_path, script, leak)
    finally:
        stop.set()
        for child in children:
            child.kill()
            child.wait()
        for _, _, file in kept:
            file.close()
    assert growth["objects"] > 4 * ALLOWED and growth["tensors"] > 4 * ALLOWED, growth
    assert growth["files"] == growth["threads"] == growth["processes"] == END - MIDDLE


def test_a_scorer_forgets_old_captions_and_scores_them_alike():
    references = [["a dog runs on grass", "a brown dog"], ["two men sit", "men on a bench"]]
    captions = [[f"a dog runs {number}", f"{number} men sit"] for number in range(3 * REMEMBERED)]
    with CaptionScorer(references, ["BLEU", "ROUGE-L", "CIDEr", "charBLEU"]) as scorer:
        first = [scorer.score(pair) for pair in captions]
        assert {len(seen) for of_metric in scorer._seen.values() for seen in of_metric} == {REMEMBERED}
        assert [scorer.score(pair) for pair in captions] == first
    with CaptionScorer(references, ["CIDEr"]) as fresh:
        assert fresh.score(captions[-1])["CIDEr"] == first[-1]["CIDEr"]


def test_what_a_scorer_was_asked_last_it_remembers_longest():
    with CaptionScorer([["a dog runs", "a cat"]], ["CIDEr"]) as scorer:
        scorer.score(["a dog runs"])
        for number in range(REMEMBERED - 1):
            scorer.score([f"cat {number}"])
        scorer.score(["a dog runs"])
        scorer.score(["one more"])
        assert "a dog runs" in scorer._seen["CIDEr"][0] and "cat 0" not in scorer._seen["CIDEr"][0]


GROWING = """
import subprocess, sys, threading
kept = []
for line in sys.stdin:
    kept.append([bytearray(b"x" * (40 << 20)), [open("/dev/null") for _ in range(10)], subprocess.Popen(["sleep", "600"])])
    for _ in range(3):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("more", flush=True)
kept[0][2].kill(), kept[0][2].wait()
"""


def test_what_a_process_holds_is_seen_from_outside(script):
    look = script("process_tree").look
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        [sys.executable, "-c", GROWING.replace("kept = []", "kept = []; print('begun', flush=True)")], **pipes
    ) as process:
        process.stdout.readline()
        before = look(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        after = look(process.pid)
        process.stdin.close()
    assert 39 << 20 < after.training.anonymous - before.training.anonymous < 60 << 20
    assert 39 << 20 < after.training.resident - before.training.resident < 60 << 20
    assert after.training.files - before.training.files == 10 and after.training.threads - before.training.threads == 3
    assert (before.processes, after.processes) == (1, 2) and len(after.workers) == 1 and not after.java


def samples(script, resident=lambda step: 1000, **changes):
    """A look at each of 300 steps of a training whose memory is a function of the step."""
    tree = script("process_tree")
    own = {"files": 4, "threads": 2, **{name: value for name, value in changes.items() if name != "processes"}}
    made = []
    for step in range(1, 301):
        counts = {name: value(step) if callable(value) else value for name, value in own.items()}
        workers = (tree.Held(50, 40, 3, 1),) if step % 3 else ()
        processes = changes.get("processes", lambda step: 1)(step) + len(workers)
        made.append(tree.Sample(step, tree.Held(resident(step), resident(step), **counts), (), workers, processes))
    return made


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"resident": lambda step: 500 + min(step, 75) * 10}, []),  # it warms up
        ({"resident": lambda step: 1000 + step % 7}, []),
        ({"resident": lambda step: 1000 + 5 * (step // 50)}, []),  # 1.5 %
        ({"resident": lambda step: 1000 + step // 5}, ["training resident", "training anonymous", "tree resident", "tree anonymous"]),
        ({"files": lambda step: 4 + step % 2}, []),
        ({"files": lambda step: 4 + step // 100}, ["training files"]),
        ({"threads": lambda step: 2 + step // 200}, ["training threads"]),
        ({"processes": lambda step: 1 + step // 200}, ["tree processes"]),
        ({"files": lambda step: 4 if step < 300 else 0}, []),  # at its end it closes all
    ],
)
def test_growth_is_told_from_what_comes_and_goes(script, changes, found):
    growth = script("growth")
    rows = growth.compare(samples(script, **changes), 300)
    sentences = growth.grown({"some": {"rows": rows}})
    assert [sentence.partition(":")[0].removeprefix("some, ") for sentence in sentences] == found
    assert len(growth.table({"some": {"rows": rows}}).splitlines()) == 1 + len(rows)


def test_too_few_looks_are_no_verdict(script):
    with pytest.raises(RuntimeError, match="Only"):
        script("growth").compare(samples(script)[::20], 300)


STEPS = """
import json, sys, time
folder = sys.argv[-1].partition("=")[2]
kept, base = [], bytearray(b"x" * (30 << 20))
with open(f"{folder}.jsonl", "w") as log:
    for step in range(1, 201):
        kept += [b"x" * int(sys.argv[1])]
        print(json.dumps({"step": step}), file=log, flush=True)
        time.sleep(0.01)
"""


@pytest.mark.parametrize(("leak", "code"), [(0, 0), (30_000, 1)])
def test_the_command_tells_a_training_that_grows(script, monkeypatch, capsys, tmp_path, leak, code):
    check, tree = script("long_run_check"), script("process_tree")
    monkeypatch.setattr(script("growth"), "FEWEST", 3)
    monkeypatch.setattr(check, "TRAIN", [sys.executable, "-c", STEPS, str(leak)])
    monkeypatch.setattr(check, "TRAININGS", {"some": ()})
    monkeypatch.setattr(check, "watch", lambda process, log, _interval: tree.watch(process, Path(f"{log.parent}.jsonl"), 0.005))
    assert check.main(["--steps", "200", "--output", str(tmp_path / "report.json")]) == code
    assert ("It grows: some, training anonymous" in capsys.readouterr().out) == bool(code)
    assert (tmp_path / "report.json").is_file()
