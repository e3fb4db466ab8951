"""A long training holds no more at its end than at its beginning: objects, tensors, files, threads and processes, each counted.

scripts/long_run_check.py looks at the same from outside, in minutes.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import threading
import tracemalloc

import pytest
import torch

from soli.evaluation import CaptionScorer
from soli.evaluation.caption_metrics import REMEMBERED, _counted
from soli.training.loop import train
from soli.training.settings import FeatureSettings, LoaderSettings, Phase, RuntimeSettings
from tests.test_long_run_check import needs_proc, script  # noqa: F401 - a fixture
from tests.training.small_runs import make_matching_model, make_recipe, matching, siamese, small_clustered, toy_data

MIDDLE, END = 3, 7  # validations after which is counted
ALLOWED = 60_000  # bytes that come with time: what is kept for errors, progress bars and the like; each planted leak is five times that

VIEWS = {"clean": ["original"], "degraded": ["R0.5S1", "R0.2S50"]}

pytestmark = needs_proc


@pytest.fixture(autouse=True)
def quick_collections():
    """What was there before is neither collected nor counted: there are a million objects of imports."""
    gc.freeze()
    yield
    gc.unfreeze()


def held(load) -> dict[str, int]:
    """What this process holds, without what it could give back; `load` imports a script."""
    _counted.cache_clear()  # it has a limit of its own, which a short training does not reach
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    now = load("process_tree").look(os.getpid())
    counts = {"files": now.training.files, "threads": now.training.threads, "processes": now.processes}
    return {"objects": tracemalloc.get_traced_memory()[0], "tensors": sum(storages.values()), **counts}


class Validation:
    """A validation that scores captions never seen before, and counts; `leak` is called each time."""

    def __init__(self, load, examples, leak=None):
        self.load, self.leak, self.counts = load, leak, []
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
        self.counts.append(held(self.load) if len(self.counts) + 1 in (MIDDLE, END) else None)
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


def grown(case, folder, load, leak=None):
    """Trains END epochs of two steps; what is held at the end more than in the middle."""
    phase, workers = CASES[case]
    data = toy_data(16)
    validate = Validation(load, data.examples[:8], leak)
    features, runtime = FeatureSettings(str(folder / "cache"), "float32"), RuntimeSettings(workers=workers)
    recipe = make_recipe({"only": phase}, anchor="frozen", loader=LoaderSettings(batch_size=8), features=features, runtime=runtime)
    negatives, term = small_clustered(num_clusters=2), matching("cmns", small_clustered(num_clusters=2))
    try:
        train(make_matching_model(data.tokenizer), data, recipe, folder, validate, False, siamese(negatives=negatives), term)
    finally:
        tracemalloc.stop()
    return validate.growth()


@pytest.mark.parametrize("case", CASES)
def test_a_training_holds_no_more_at_its_end(case, tmp_path, script):  # noqa: F811
    growth = grown(case, tmp_path, script)
    assert growth["objects"] < ALLOWED and growth["tensors"] < ALLOWED, growth
    assert max(growth["files"], growth["threads"], growth["processes"]) <= 0, growth  # what earlier tests had may end in between


def test_planted_leaks_are_all_seen(tmp_path, script):  # noqa: F811
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
