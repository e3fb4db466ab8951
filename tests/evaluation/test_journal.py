"""An interrupted evaluation goes on where it was, and gives what an uninterrupted one gives."""

import json

import pytest
import torch

from soli.datasets import CaptionedImages, ToyDataset
from soli.decoders import AttentionLSTM
from soli.degradations import parse
from soli.encoders import TinyEncoder
from soli.evaluation.journal import Journal
from soli.evaluation.ladder import climb
from soli.model import Captioner
from soli.vocabulary import Vocabulary

CONDITIONS = [parse(name) for name in ("original", "R0.1S50")]


class PulledPlug(Exception):
    pass


class FailingJournal(Journal):
    """Stops the evaluation after some batches."""

    def __init__(self, path, origin, batches):
        super().__init__(path, origin)
        self.left = batches

    def add(self, entry):
        super().add(entry)
        self.left -= 1
        if self.left == 0:
            raise PulledPlug


@pytest.fixture(scope="module")
def ladder():
    toy = ToyDataset(num_train=8, num_val=4, num_test=11)
    vocabulary = Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)
    model = Captioner(TinyEncoder(32, 32), AttentionLSTM(32, vocabulary.words, 8, 16, 8), vocabulary)
    for parameter in model.decoder.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
    data = CaptionedImages(toy, "test", vocabulary)

    def run(journal=None, **options):
        settings = {"num_beams": 1, "sample": True, "max_tokens": 9, "batch_size": 4, "progress": False} | options
        return climb(model, data, CONDITIONS, journal=journal, **settings)

    return run


def same(one, other):
    return all(
        a.condition == b.condition
        and a.captions == b.captions
        and a.sizes == b.sizes
        and torch.allclose(a.embeddings, b.embeddings, atol=1e-5)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_it_goes_on_after_the_last_batch(ladder, tmp_path, batches):
    path, origin = tmp_path / "unfinished.jsonl", {"weights": "a"}
    with pytest.raises(PulledPlug):
        ladder(FailingJournal(path, origin, batches))
    assert len(path.read_text().splitlines()) == 1 + batches
    journal = Journal(path, origin)
    assert same(ladder(journal, batch_size=3), ladder())
    journal.end()
    assert not path.exists()


def test_a_line_that_was_being_written_is_done_again(ladder, tmp_path):
    path = tmp_path / "unfinished.jsonl"
    with pytest.raises(PulledPlug):
        ladder(FailingJournal(path, {"weights": "a"}, 2))
    path.write_text(path.read_text()[:-20])
    assert same(ladder(Journal(path, {"weights": "a"})), ladder())
    assert [json.loads(line) for line in path.read_text().splitlines()]


def test_two_evaluations_that_wrote_at_the_same_time_leave_no_photograph_twice(ladder, tmp_path):
    path, origin = tmp_path / "unfinished.jsonl", {"weights": "a"}
    for _ in range(2):
        with pytest.raises(PulledPlug):
            ladder(FailingJournal(path, origin, 1))
    first, *batches = path.read_text().splitlines()
    path.write_text("\n".join([first, *(line for line in batches for _ in range(2)), ""]))
    assert len(Journal(path, origin).entries()) == len(batches) == 2
    assert same(ladder(Journal(path, origin)), ladder())


@pytest.mark.parametrize("text", ["", "nonsense\n", '{"weights": "b"}\n{}\n', None])
def test_what_is_not_of_this_evaluation_is_left_out(ladder, tmp_path, text):
    path = tmp_path / "unfinished.jsonl"
    if text is not None:
        path.write_text(text)
    assert same(ladder(Journal(path, {"weights": "a"})), ladder())
    assert json.loads(path.read_text().splitlines()[0]) == {"weights": "a"}
