"""The ladder: what it captions is what the captioner alone would say; and the tables that show it."""

import csv
import io

import pytest

from soli.datasets import CaptionedImages, ToyDataset
from soli.decoders import AttentionLSTM
from soli.degradations import parse
from soli.encoders import TinyEncoder
from soli.evaluation.ladder import climb
from soli.evaluation.tables import csv_table, text_table
from soli.jobs.scored_runs import shuffle
from soli.model import Captioner
from soli.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def toy():
    return ToyDataset(num_train=8, num_val=7, num_test=4)


def test_every_rung_has_the_captions_of_its_condition_in_the_order_of_the_data(toy):
    vocabulary = Vocabulary.build(caption for example in toy.examples("train") for caption in example.captions)
    model = Captioner(TinyEncoder(32, 32), AttentionLSTM(32, vocabulary.words, 8, 16, 8), vocabulary)
    for parameter in model.decoder.parameters():
        parameter.data.normal_()
    data = CaptionedImages(toy, "val", vocabulary)
    names = ["original", "R0.1S50"]
    rungs = climb(model, data, [parse(name) for name in names], num_beams=2, max_tokens=9, batch_size=3, progress=False)
    images = [toy.read_image(example) for example in toy.examples("val")]
    for rung, name in zip(rungs, names, strict=True):
        assert rung.condition == name
        assert rung.captions == model.caption(images, condition=name, num_beams=2, max_tokens=9)
    assert rungs[0].pixels == (96, 96) and rungs[1].pixels == (9, 9)


def test_shuffled_captions_are_the_same_ones_and_none_stays():
    captions = [f"caption {index}" for index in range(50)]
    shuffled = shuffle(captions)
    assert sorted(shuffled) == sorted(captions)
    assert all(before != after for before, after in zip(captions, shuffled, strict=True))


def test_tables_keep_missing_values_apart_from_zeros():
    rows = [{"condition": "original", "CIDEr": 0.12345, "distinct": 3}, {"condition": "R0.1S50", "CIDEr": 0.0}]
    lines = text_table(rows).splitlines()
    assert lines[0].split() == ["condition", "CIDEr", "distinct"]
    assert lines[2].split() == ["original", "0.123", "3"] and lines[3].split() == ["R0.1S50", "0.000", "-"]
    assert len({len(line) for line in lines}) == 1
    assert list(csv.DictReader(io.StringIO(csv_table(rows)))) == [
        {"condition": "original", "CIDEr": "0.12345", "distinct": "3"},
        {"condition": "R0.1S50", "CIDEr": "0.0", "distinct": ""},
    ]
