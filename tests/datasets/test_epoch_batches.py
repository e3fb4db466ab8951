"""Batches: what is in them, resuming, any number of workers, and photographs that cannot be read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from soli.datasets import Batch, CaptionedImages, batches, collate, epoch_order, read_photograph
from soli.interfaces import Example, SoliError

CAPTIONS = (("a b", "a b c d"), ("e",), ("a", "b", "c c c"))


class Letters:
    """A tokenizer: a is 3, b is 4 and so on."""

    pad_id, start_id, end_id = 0, 1, 2

    def __init__(self) -> None:
        self.num_calls = 0

    def __len__(self) -> int:
        return 8

    def encode(self, caption: str, max_tokens: int | None = None) -> list[int]:
        self.num_calls += 1
        return [1, *(ord(letter) - ord("a") + 3 for letter in caption.split()), 2][:max_tokens]

    def decode(self, ids: list[int]) -> str:
        raise NotImplementedError


class Photographs:
    """Twelve photographs of different sizes in files; it notes what is read in this process."""

    name, reference_side, splits = "photographs", None, ("train",)

    def __init__(self, folder: Path) -> None:
        self.read: list[str] = []
        self.members = []
        for number in range(12):
            path = folder / f"{number}.png"
            Image.new("RGB", (10 + number, 20 - number), (number, 2 * number, 3 * number)).save(path)
            self.members.append(Example(path.name, CAPTIONS[number % 3], path))

    def examples(self, split: str) -> list[Example]:
        assert split == "train"
        return self.members

    def read_image(self, example: Example) -> np.ndarray:
        self.read.append(example.image_id)
        return read_photograph(example.path)

    def fingerprint(self, example: Example) -> str:
        raise NotImplementedError


@pytest.fixture
def data(tmp_path: Path) -> CaptionedImages:
    return CaptionedImages(Photographs(tmp_path), "train", Letters(), max_tokens=5)


PLAN = [[3, 1, 4], [0, 5, 9], [2, 6, 11], [8, 7], [10]]


def same(one: Batch, other: Batch) -> bool:
    images = len(one.images) == len(other.images) and all(map(torch.equal, one.images, other.images))
    return images and torch.equal(one.tokens, other.tokens) and one.indices == other.indices


def test_an_item(data: CaptionedImages) -> None:
    image, token_ids, index = data[2]
    assert image.shape == (3, 18, 12) and image.dtype == torch.uint8
    assert image.flatten(1).unique(dim=1).flatten().tolist() == [2, 4, 6]
    assert token_ids == [[1, 3, 2], [1, 4, 2], [1, 5, 5, 5, 2]] and index == 2


def test_a_batch_written_by_hand(data: CaptionedImages) -> None:
    batch = collate([data[0], data[1]], pad_id=0)
    assert batch.tokens.tolist() == [[[1, 3, 4, 2, 0], [1, 3, 4, 5, 6]], [[1, 7, 2, 0, 0], [0, 0, 0, 0, 0]]]  # cut at 5; one caption only
    assert [tuple(image.shape) for image in batch.images] == [(3, 20, 10), (3, 19, 11)]
    assert batch.indices == [0, 1]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_do_not_depend_on_the_number_of_workers(data: CaptionedImages, workers: int) -> None:
    expected = [collate([data[index] for index in indices], pad_id=0) for indices in PLAN]
    found = list(batches(data, PLAN, workers))
    assert len(found) == len(expected) and all(map(same, found, expected))


def test_resuming_decodes_nothing_before(data: CaptionedImages) -> None:
    whole = list(batches(data, PLAN))
    data.dataset.read.clear()
    rest = list(batches(data, PLAN[3:]))
    assert all(map(same, rest, whole[3:])) and len(rest) == 2
    assert data.dataset.read == ["8.png", "7.png", "10.png"]
    assert list(batches(data, [])) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_state_is_left_as_it_is(data: CaptionedImages, workers: int) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    list(batches(data, PLAN, workers))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_photograph_is_named_in_this_process(data: CaptionedImages, workers: int) -> None:
    path = data.examples[6].path
    path.write_bytes(path.read_bytes()[:40])
    found = []
    with pytest.raises(SoliError) as caught:
        for batch in batches(data, PLAN, workers):
            found.append(batch.indices)
    assert found == PLAN[:2]  # what can be read comes first
    assert str(path) in str(caught.value) and "Traceback" not in str(caught.value) and "worker" not in str(caught.value)


def test_leaving_early_is_allowed(data: CaptionedImages) -> None:
    assert next(iter(batches(data, PLAN, 2))).indices == PLAN[0]


def test_captions_are_encoded_once(data: CaptionedImages) -> None:
    for _ in range(3):
        list(batches(data, PLAN))
    assert data.tokenizer.num_calls == sum(len(example.captions) for example in data.examples)


def test_first(data: CaptionedImages) -> None:
    fewer = data.first(4)
    assert len(fewer) == 4 and len(data) == 12
    assert same(*(next(batches(which, [[1, 3]])) for which in (fewer, data)))


def test_negative_workers_are_refused(data: CaptionedImages) -> None:
    with pytest.raises(SoliError, match="runtime.workers is -1"):
        list(batches(data, PLAN, -1))


def test_epoch_order_is_a_permutation_that_never_changes() -> None:
    assert epoch_order(8, seed=0, epoch=0) == [4, 6, 0, 1, 3, 5, 2, 7]  # runs of other days and machines rely on it
    assert sorted(epoch_order(1000, 3, 4)) == list(range(1000))
    assert epoch_order(1000, 3, 4) == epoch_order(1000, 3, 4)
    assert len({tuple(epoch_order(50, seed, epoch)) for seed in (-1, 0, 1) for epoch in range(4)}) == 12
    assert epoch_order(0, 0, 0) == []


def test_epoch_order_is_uniform() -> None:
    """Over 2,400 epochs each of the 24 orders of four photographs comes about 100 times: chi-square with 23 degrees, 1 in 10,000."""
    counts = Counter(tuple(epoch_order(4, 0, epoch)) for epoch in range(2400))
    assert len(counts) == 24 and sum((count - 100) ** 2 / 100 for count in counts.values()) < 56
