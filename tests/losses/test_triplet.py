"""VSE and VSE++ against Eqs 7 and 8 as loops in plain Python, a step worked out by hand, and the drawn negatives of Eq. 14."""

import math
from random import Random

import pytest
import torch
from torch.nn import functional

from soli.interfaces import Chosen, Queries, SoliError
from soli.losses import TripletLoss
from soli.negatives import Hardest, InBatch
from soli.training.matching import Entries, Matching
from soli.training.settings import MatchingSettings

OWNER = [0, 0, 1, 2, 2, 2, 3, 4]  # of eight captions of five photographs
KEYS = [7, 8, 9, 8, 5]  # photographs 1 and 3 are byte-identical
both = pytest.mark.parametrize("name", ["vse", "vse_plus_plus"])


def matching(name, margin=0.5, siblings="masked"):
    negatives = {"vse": InBatch(), "vse_plus_plus": Hardest()}[name]
    return Matching(TripletLoss(margin), negatives, MatchingSettings(siblings=siblings))


def entries(keys, places=None):
    places = range(len(keys)) if places is None else places
    return Entries(torch.tensor(keys), torch.tensor(list(places)), [Random(row) for row in range(len(keys))])


def joint(number, width=6, dtype=torch.float64):
    return functional.normalize(torch.randn(number, width, dtype=dtype), dim=1)


def value_of(term, images, captions, owner, keys):
    of_images, of_captions = entries(keys), entries([keys[place] for place in owner])
    owner = torch.tensor(owner)
    return term(images, captions, owner, term.choose("clean", images, captions, owner, of_images, of_captions))


def dot(one, other):
    return sum(a * b for a, b in zip(one.tolist(), other.tolist(), strict=True))


def loop(images, captions, owner, keys, margin, combine):
    """Eqs 7 (`combine` = sum) and 8 (max), the mean over captions c, each with its photograph i."""
    total = 0.0
    for number, place in enumerate(owner):
        own = dot(images[place], captions[number])
        of_captions = [0.0] + [
            max(margin - own + dot(images[place], captions[other]), 0.0) for other in range(len(owner)) if keys[owner[other]] != keys[place]
        ]
        of_images = [0.0] + [
            max(margin - own + dot(images[other], captions[number]), 0.0) for other in range(len(keys)) if keys[other] != keys[place]
        ]
        total += combine(of_captions) + combine(of_images)
    return total / len(owner)


@both
@pytest.mark.parametrize("margin", [0.2, 1.0])
@pytest.mark.parametrize(("owner", "keys"), [([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]), (OWNER, KEYS)], ids=["pairs", "several_captions"])
def test_the_term_is_the_loop_over_captions_and_photographs(name, margin, owner, keys):
    images, captions = joint(len(keys)), joint(len(owner))
    expected = loop(images, captions, owner, keys, margin, {"vse": sum, "vse_plus_plus": max}[name])
    assert value_of(matching(name, margin), images, captions, owner, keys).item() == pytest.approx(expected)


@both
def test_three_photographs_worked_out_by_hand(name):
    """The hinges at a margin of 0.2: of photographs (rows) 0 and 0.3, 0.2 and 0, 0.7 and 0.5, of captions (columns) 0.1 and 0.5, 0.05 and
    0.4, 0.5 and 0."""
    similarity = torch.tensor([[0.5, 0.25, 0.6], [0.4, 0.4, 0.1], [0.8, 0.6, 0.3]])
    images, captions = similarity, torch.eye(3)  # the similarity is their product; the loss itself does not normalise
    expected = {"vse": (0.3 + 0.2 + 0.7 + 0.5 + 0.1 + 0.5 + 0.05 + 0.4 + 0.5), "vse_plus_plus": (0.3 + 0.2 + 0.7 + 0.5 + 0.4 + 0.5)}[name]
    assert value_of(matching(name, 0.2), images, captions, [0, 1, 2], [0, 1, 2]).item() == pytest.approx(expected / 3)


def test_with_two_photographs_the_maximum_is_the_sum():
    images, captions = joint(2), joint(2)
    values = [value_of(matching(name), images, captions, [0, 1], [3, 4]) for name in ("vse", "vse_plus_plus")]
    assert torch.equal(*values) and values[0] > 0


def test_ties_of_the_hardest_count_once():
    """Three copies of one negative: VSE++ has its hinge once, VSE three times."""
    images = torch.tensor([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    captions = torch.tensor([[0.8, 0.6], [0, 1], [0, 1], [0, 1]])
    keys = [0, 1, 1, 1]  # the copies are no negatives of each other
    hardest, every = (value_of(matching(name), images, captions, range(4), keys).item() for name in ("vse_plus_plus", "vse"))
    own, wrong = 0.5 - 0.8 + 0.6, 0.5 - 1 + 0.6  # caption 0 among photographs, the copies among captions
    assert hardest == pytest.approx((own + 3 * wrong) / 4) and every == pytest.approx((3 * own + 3 * wrong) / 4)


@both
def test_siblings_as_negatives_are_rows_of_their_own(name):
    """The published VSE++: every (photograph, caption) is a row, and all other rows are negatives, those of the same photograph too."""
    images, captions = joint(3), joint(len(OWNER[:6]))
    rows = images[OWNER[:6]]
    expected = loop(rows, captions, range(6), range(6), 0.5, {"vse": sum, "vse_plus_plus": max}[name])
    assert value_of(matching(name, siblings="negatives"), images, captions, OWNER[:6], [4, 5, 6]).item() == pytest.approx(expected)
    assert value_of(matching(name), images, captions, OWNER[:6], [4, 5, 6]).item() != pytest.approx(expected, rel=1e-3)


@both
@pytest.mark.parametrize("siblings", ["masked", "negatives"])
def test_one_caption_of_each_photograph_has_no_siblings(name, siblings):
    images, captions = joint(4), joint(4)
    expected = loop(images, captions, range(4), range(4), 0.5, {"vse": sum, "vse_plus_plus": max}[name])
    assert value_of(matching(name, siblings=siblings), images, captions, range(4), [0, 1, 2, 3]).item() == pytest.approx(expected)


@both
def test_captions_of_a_byte_identical_photograph_are_never_negatives(name):
    """Photograph 1 and its copy, 2: caption 2 would be the hardest of all, and is none."""
    images = torch.tensor([[1.0, 0], [0.6, 0.8], [0.6, 0.8]])
    captions = torch.tensor([[1.0, 0], [0.0, 1], [0.6, 0.8]])
    masked, counted = (value_of(matching(name, 0.3), images, captions, range(3), keys).item() for keys in ([0, 1, 1], [0, 1, 2]))
    assert masked == pytest.approx(loop(images, captions, range(3), [0, 1, 1], 0.3, {"vse": sum, "vse_plus_plus": max}[name]))
    assert counted > masked + 0.1


@both
def test_negatives_from_outside_add_their_weighted_hinges(name):
    """Eq. 14: those of the step, and the hinges of each drawn caption c- and photograph i-."""
    images, captions, owner = joint(3), joint(4), [0, 1, 1, 2]
    drawn, shares = (joint(6).view(3, 2, 6), joint(12).view(4, 3, 6)), (torch.rand(3, 2), torch.rand(4, 3))
    queries = Queries("captions", torch.arange(3), torch.tensor(owner), [], images, captions, images @ captions.T)
    turned = Queries("photographs", torch.tensor(owner), torch.arange(3), [], captions, images, captions @ images.T)
    negatives, loss = matching(name).negatives, TripletLoss(0.5)
    chosen = [
        Chosen(one.own, one.weights, outside, weights)
        for one, outside, weights in zip((negatives.choose(queries), negatives.choose(turned)), drawn, shares, strict=True)
    ]
    expected = loop(images, captions, owner, range(3), 0.5, {"vse": sum, "vse_plus_plus": max}[name])
    for number, place in enumerate(owner):
        own = dot(images[place], captions[number])
        for r in range(2):
            expected += shares[0][place, r].item() * max(0.5 - own + dot(images[place], drawn[0][place, r]), 0.0) / 4
        for r in range(3):
            expected += shares[1][number, r].item() * max(0.5 - own + dot(captions[number], drawn[1][number, r]), 0.0) / 4
    assert loss.of_matches(images, captions, torch.tensor(owner), *chosen).item() == pytest.approx(expected)


@both
@pytest.mark.parametrize("siblings", ["masked", "negatives"])
def test_gradients_agree_with_differences(name, siblings):
    term, inputs = matching(name, 0.45, siblings), (joint(5).requires_grad_(), joint(8).requires_grad_())
    assert torch.autograd.gradcheck(lambda images, captions: value_of(term, images, captions, OWNER, KEYS), inputs)


@both
@pytest.mark.parametrize("siblings", ["masked", "negatives"])
def test_the_order_of_photographs_and_of_captions_changes_nothing(name, siblings):
    images, captions, term = joint(5), joint(8), matching(name, siblings=siblings)
    value = value_of(term, images, captions, OWNER, KEYS).item()
    photographs, sentences = [3, 0, 4, 1, 2], [5, 0, 7, 1, 6, 3, 2, 4]
    owner = [photographs.index(OWNER[number]) for number in sentences]
    moved = value_of(term, images[photographs], captions[sentences], owner, [KEYS[place] for place in photographs]).item()
    assert moved == pytest.approx(value)
    assert value_of(term, images[photographs], captions, OWNER, KEYS).item() != pytest.approx(value, rel=1e-3)


def test_harm_is_the_hinge_that_a_candidate_would_have():
    harm = TripletLoss(0.2).similarity_harm(torch.tensor([0.5, 0.9]), torch.tensor([[0.1, 0.4], [0.9, 1.0]]))
    assert torch.allclose(harm, torch.tensor([[0.0, 0.1], [0.2, 0.3]]))


@pytest.mark.parametrize("margin", [0, -0.1, 2.01, math.inf, math.nan, "0.2", None])
def test_a_margin_out_of_range_is_refused(margin):
    with pytest.raises(SoliError, match=r"matching\.loss\.margin=.* above 0 and at most 2"):
        TripletLoss(margin)


def test_a_margin_of_2_is_the_distance_of_opposite_cosines():
    one = torch.tensor([[1.0, 0], [-1, 0]])
    assert value_of(matching("vse", 2.0), one, one, range(2), [0, 1]).item() == 0
    assert value_of(matching("vse", 2.0), one, -one, range(2), [0, 1]).item() == pytest.approx(8)


@both
def test_a_step_of_one_photograph_is_refused_unless_its_captions_are_negatives(name):
    with pytest.raises(SoliError, match=r"All 3 photographs of a step are the same.*loader\.batch_size"):
        value_of(matching(name), joint(3), joint(3), range(3), [4, 4, 4])
    assert value_of(matching(name, siblings="negatives"), joint(3), joint(3), range(3), [4, 4, 4]) > 0


def test_the_number_of_candidates_is_that_of_captions_and_of_photographs_or_their_copies():
    views = ["clean", "degraded"]
    masked = matching("vse").num_candidates(views, 10, 50)
    assert sorted(masked.values()) == [10, 10, 50, 50] and all(any(view in name for name in masked) for view in views)
    assert list(matching("vse", siblings="negatives").num_candidates(views, 10, 50).values()) == [50] * 4
    assert masked.keys() == matching("vse", siblings="negatives").num_candidates(views, 10, 50).keys()
