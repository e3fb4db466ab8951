"""Processes that decode photographs: their death is told, their errors as they are; none outlives its batches or its trainer."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soli.datasets import CaptionedImages, ToyDataset, batches
from soli.interfaces import SoliError
from soli.vocabulary import Vocabulary
from tests.processes import HAS_PROC, ends, is_alive

PLAN = [[0, 1], [2, 3], [4, 5]]
TRAINER = os.getpid()


class Troubled(ToyDataset):
    """Toy pictures, of which one does something to the process that reads it."""

    trouble = staticmethod(lambda: None)

    def read_image(self, example):
        if example.image_id == self.examples("train")[3].image_id and os.getpid() != TRAINER:
            self.trouble()
        return super().read_image(example)


def data(trouble=lambda: None):
    dataset = Troubled(num_train=6, num_val=1, num_test=1)
    dataset.trouble = trouble
    captions = (caption for example in dataset.examples("train") for caption in example.captions)
    return CaptionedImages(dataset, "train", Vocabulary.build(captions))


def test_the_death_of_a_worker_is_one_sentence_and_no_exception_elsewhere():
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(SoliError, match=r"runtime\.workers.*SIGKILL.*memory.*fewer"):
        list(batches(data(lambda: os.kill(os.getpid(), signal.SIGKILL)), PLAN, workers=1))
    assert signal.getsignal(signal.SIGCHLD) is before  # PyTorch's handler raises wherever the main thread is
    assert multiprocessing.active_children() == []


def test_a_workers_own_error_is_told_as_it_is():
    def trouble():
        raise LookupError("no such colour")

    with pytest.raises(LookupError, match="no such colour"):
        list(batches(data(trouble), PLAN, workers=1))
    assert multiprocessing.active_children() == []


def test_an_error_of_its_disk_is_not_its_death():
    def trouble():
        raise OSError("Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        list(batches(data(trouble), PLAN, workers=1))


def test_workers_end_with_the_last_batch_and_when_nobody_wants_more():
    stream = batches(data(), PLAN, workers=2)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    next(stream), next(stream)
    assert multiprocessing.active_children() == []
    stream = batches(data(), PLAN, workers=1)
    next(stream)
    stream.close()
    assert multiprocessing.active_children() == []


def test_a_signal_to_all_processes_leaves_the_workers_at_work():
    stream = batches(data(), PLAN, workers=1)
    first = next(stream)
    for worker in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(worker.pid, number)
    assert [batch.indices for batch in (first, *stream)] == PLAN


def test_a_worker_that_hangs_is_killed_with_its_stream(tmp_path, monkeypatch):
    def trouble():
        (tmp_path / "hangs").touch()
        while True:
            time.sleep(600)

    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)  # for so long PyTorch waits for it
    stream = batches(data(trouble), PLAN, workers=1)
    next(stream)
    workers = multiprocessing.active_children()
    try:
        while not (tmp_path / "hangs").exists():
            assert workers[0].is_alive()
            time.sleep(0.02)
        stream.close()
        workers[0].join(60)
        assert workers[0].exitcode == -signal.SIGKILL
    finally:
        workers[0].kill()  # else pytest would wait for it


KILLED = """
import multiprocessing, time
from soli.datasets import CaptionedImages, ToyDataset, batches
from soli.vocabulary import Vocabulary

if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    multiprocessing.set_forkserver_preload(["soli.datasets"])
    toy = ToyDataset(num_train=6, num_val=1, num_test=1)
    data = CaptionedImages(toy, "train", Vocabulary.build(toy.examples("train")[0].captions, min_count=1))
    stream = batches(data, [[0], [1], [2], [3], [4], [5]], workers=2)
    next(stream)
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not HAS_PROC, reason="there is no /proc")
def test_workers_of_a_fork_server_end_with_the_trainer(tmp_path):
    """Their parent, whose number PyTorch watches, is the server, which lives as long as they do."""
    (tmp_path / "program.py").write_text(KILLED, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, tmp_path / "program.py"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert len(workers) == 2 and all(map(is_alive, workers))
        process.kill()
    assert ends(*workers)
