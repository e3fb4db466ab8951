"""Which pairs are compared: by hand, by counting draws, and on photographs that occur twice."""

import math
from random import Random

import pytest
import torch

from soli.datasets import CaptionedImages, Flickr8kDataset, ToyDataset, batches
from soli.interfaces import Example, SoliError
from soli.negatives import InBatch, RandomPartner
from soli.vocabulary import Vocabulary
from tests.keyed_pairs import pairs_of

KEYS = [[0, 1], [7, 8, 9], [5, 6, 5, 7], [3, 3, 4, 4, 4, 9], [2, 2, 2], [1]]
PARTS = [InBatch(), RandomPartner(), RandomPartner(0.0), RandomPartner(1.0)]


def generators(keys, draw=0):
    return [Random(f"{draw}/{row}") for row in range(len(keys))]


def draws(negatives, keys, number):
    return [pairs_of(negatives, keys, generators(keys, draw)) for draw in range(number)]


def unequal(keys):
    return torch.tensor([[one != other for other in keys] for one in keys])


@pytest.mark.parametrize("keys", KEYS, ids=str)
@pytest.mark.parametrize("negatives", PARTS, ids=["in_batch", "random", "random_0", "random_1"])
def test_weights_sum_to_1_and_one_key_is_never_a_negative_pair(negatives, keys):
    for pairs in draws(negatives, keys, 20):
        assert pairs.same.shape == pairs.different.shape == (len(keys), len(keys))
        assert (pairs.same.sum() + pairs.different.sum()).item() == pytest.approx(1)
        assert pairs.same.min() >= 0 and pairs.different.min() >= 0
        assert not pairs.different[~unequal(keys)].any()
        assert not (pairs.same - pairs.same.diagonal().diag()).any()  # a photograph with its own copy only


@pytest.mark.parametrize("keys", [keys for keys in KEYS if len(set(keys)) > 1], ids=str)
def test_in_batch_both_kinds_weigh_one_half_and_no_negative_is_left_out(keys):
    pairs = pairs_of(InBatch(), keys)
    assert pairs.same.sum().item() == pytest.approx(0.5) and pairs.different.sum().item() == pytest.approx(0.5)
    assert torch.equal(pairs.different > 0, unequal(keys))
    assert len(pairs.different[unequal(keys)].unique()) == len(pairs.same.diagonal().unique()) == 1


def test_in_batch_pairs_of_three_and_of_four_with_a_repetition_by_hand():
    three, four = pairs_of(InBatch(), [7, 8, 9]), pairs_of(InBatch(), [5, 6, 5, 7])
    assert torch.allclose(three.same, torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]) / 6)
    assert torch.allclose(three.different, torch.tensor([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 12)
    assert torch.allclose(four.same, torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) / 8)
    assert torch.allclose(four.different, torch.tensor([[0.0, 1, 0, 1], [1, 0, 1, 1], [0, 1, 0, 1], [1, 1, 1, 0]]) / 20)


@pytest.mark.parametrize("negatives", [InBatch(), RandomPartner(0.0)], ids=["in_batch", "random_partner"])
def test_a_step_of_one_photograph_has_positives_alone(negatives):
    pairs = pairs_of(negatives, [4, 4, 4], generators([4, 4, 4]))
    assert torch.allclose(pairs.same, torch.eye(3) / 3) and not pairs.different.any()


def test_keys_of_63_bits_are_told_apart():
    keys = [2**63 - 1, 2**63 - 2, 2**63 - 1]
    assert torch.equal(pairs_of(InBatch(), keys).different > 0, unequal(keys))
    partners = pairs_of(RandomPartner(0.0), keys, generators(keys)).different > 0
    assert partners.any(1).all() and not partners[~unequal(keys)].any()


def test_a_random_partner_makes_one_pair_of_each_photograph():
    keys = list(range(7))
    for pairs in draws(RandomPartner(), keys, 50):
        weights = torch.cat([pairs.same, pairs.different], 1)
        assert ((weights > 0).sum(1) == 1).all() and torch.allclose(weights.sum(1), torch.full((7,), 1 / 7))


@pytest.mark.parametrize("same_fraction", [0.2, 0.5, 0.9])
def test_the_share_of_own_pairs_is_the_same_fraction(same_fraction):
    """Within four standard deviations of 4,000 draws."""
    keys = list(range(10))
    share = sum(pairs.same.sum().item() for pairs in draws(RandomPartner(same_fraction), keys, 400)) / 400
    assert abs(share - same_fraction) < 4 * math.sqrt(same_fraction * (1 - same_fraction) / 4000)


@pytest.mark.parametrize("same_fraction", [0.0, 0.5])
def test_partners_are_uniform_over_the_other_photographs(same_fraction):
    """Six rows of five partners: chi-square with 24 degrees, 1 in 10,000. One draw for both questions would not pass at 1/2."""
    keys = list(range(6))
    counts = sum((pairs.different > 0).int() for pairs in draws(RandomPartner(same_fraction), keys, 1000))
    expected = counts.sum(1, keepdim=True) / 5
    assert counts.sum() > 2500 and not counts.diagonal().any()
    assert ((counts - expected) ** 2 / expected)[unequal(keys)].sum() < 59


def test_where_photographs_repeat_every_other_one_is_still_a_partner():
    keys = [0, 1, 0, 2, 0]
    met = sum(pairs.different for pairs in draws(RandomPartner(0.0), keys, 100)) > 0
    assert torch.equal(met, unequal(keys))


def test_same_fraction_0_takes_no_own_copy_and_1_takes_nothing_else():
    keys = list(range(8))
    assert all(not pairs.same.any() for pairs in draws(RandomPartner(0.0), keys, 50))
    assert all(not pairs.different.any() for pairs in draws(RandomPartner(1), keys, 50))


@pytest.mark.parametrize("same_fraction", [-0.01, 1.01, math.nan, math.inf])
def test_a_same_fraction_that_is_no_probability_is_refused(same_fraction):
    with pytest.raises(SoliError, match=r"negatives\.same_fraction=.* between 0 and 1"):
        RandomPartner(same_fraction)


def test_a_pair_is_a_function_of_its_photographs_generator():
    keys, negatives = list(range(30)), RandomPartner()
    first, again, other = (pairs_of(negatives, keys, generators(keys, draw)) for draw in (1, 1, 2))
    assert torch.equal(first.same, again.same) and torch.equal(first.different, again.different)
    assert not torch.equal(first.different, other.different)
    mixed = pairs_of(negatives, keys, [*generators(keys, 1)[:20], *generators(keys, 2)[20:]])
    assert torch.equal(mixed.different, torch.cat([first.different[:20], other.different[20:]]))


class OneEntryPerCaption:
    """Photographs of a dataset, each as many entries as it has captions."""

    name, reference_side, splits = "entries", None, ("train",)

    def __init__(self, dataset, photographs):
        self.dataset, self.entries, self.photographs = dataset, [], {}
        for photograph in photographs:
            for number, caption in enumerate(photograph.captions):
                self.entries.append(Example(f"{photograph.image_id}#{number}", (caption,), photograph.path))
                self.photographs[self.entries[-1].image_id] = photograph

    def examples(self, _split):
        return self.entries

    def read_image(self, example):
        return self.dataset.read_image(self.photographs[example.image_id])


def keys_of(dataset, photographs):
    """The keys of all entries in one batch, and the photograph of each."""
    entries = OneEntryPerCaption(dataset, photographs)
    vocabulary = Vocabulary.build(caption for example in entries.entries for caption in example.captions)
    (batch,) = batches(CaptionedImages(entries, "train", vocabulary), [range(len(entries.entries))])
    return batch.keys, [entries.photographs[example.image_id].image_id for example in entries.entries]


def assert_negatives_are_exactly(keys, expected):
    """`expected` (B, B): which entries show different photographs."""
    assert torch.equal(pairs_of(InBatch(), keys).different > 0, expected)
    met = sum(pairs.different for pairs in draws(RandomPartner(0.0), keys, 200)) > 0
    assert met.any() and not met[~expected].any()


def test_two_captions_of_one_photograph_are_no_negative_pair():
    toy = ToyDataset(num_train=3, num_val=1, num_test=1)
    keys, names = keys_of(toy, toy.examples("train"))
    assert len(keys) > len(set(keys)) == 3
    assert_negatives_are_exactly(keys, unequal(names))


def test_the_two_copies_in_flickr8k_are_no_negative_pair(flickr8k_root):
    """One photograph under two names, with captions of its own under each."""
    copies = ("2851198725_37b6027625.jpg", "3050606344_af711c726c.jpg")
    dataset = Flickr8kDataset(str(flickr8k_root))
    examples = dataset.examples("train")
    photographs = [example for example in examples if example.image_id in copies] + examples[:2]
    keys, names = keys_of(dataset, photographs)
    assert len(keys) == 20 and len(set(names)) == 4 and len(set(keys)) == 3
    assert_negatives_are_exactly(keys, unequal([copies[0] if name in copies else name for name in names]))
