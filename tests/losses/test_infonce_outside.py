"""InfoNCE of photographs and captions, and with weighted negatives that the step does not have (Eq. 4 of CMNS), against loops."""

import math
from random import Random

import pytest
import torch
from torch.nn import functional

from soli.interfaces import Chosen, Queries
from soli.losses import InfoNCELoss
from soli.negatives import Hardest, InBatch, weighted
from soli.training.matching import Entries, Matching

TEMPERATURE = 0.5
OWNER = [0, 0, 1, 2, 2, 2, 3]
KEYS = [7, 8, 9, 8]  # photographs 1 and 3 are byte-identical
pooled_and_per_token = pytest.mark.parametrize("shape", [(4, 5), (4, 3, 5)], ids=["pooled", "per_token"])


def cosine(one, other):
    """Of (L, E) the mean of the cosines of the places."""
    if one.dim() == 2:
        return sum(cosine(*places) for places in zip(one, other, strict=True)) / len(one)
    one, other = one.tolist(), other.tolist()
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def surprise(own, negatives):
    """Minus the log of the share of `own` beside (weight, cosine) of its negatives."""
    return -math.log(math.exp(own / TEMPERATURE) / (math.exp(own / TEMPERATURE) + sum(w * math.exp(s / TEMPERATURE) for w, s in negatives)))


def unit(*shape):
    return functional.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


def chosen_of(negatives, keys, others, similarity, outside, weights):
    one = negatives.choose(Queries("any", torch.tensor(keys), torch.tensor(others), [], similarity=similarity))
    return Chosen(one.own, one.weights, outside, weights)


def matching_loop(images, captions, allowed, drawn, shares):
    """The mean over captions, each with its photograph, of both directions; `allowed(direction, query)` are the negatives of the step."""
    terms = []
    for number, place in enumerate(OWNER):
        own = cosine(images[place], captions[number])
        of_captions = [(1, cosine(images[place], captions[other])) for other in allowed(0, place)]
        of_images = [(1, cosine(captions[number], images[other])) for other in allowed(1, number)]
        if drawn is not None:
            of_captions += [(w.item(), cosine(images[place], point)) for w, point in zip(shares[0][place], drawn[0][place], strict=True)]
            of_images += [(w.item(), cosine(captions[number], point)) for w, point in zip(shares[1][number], drawn[1][number], strict=True)]
        terms += [surprise(own, of_captions), surprise(own, of_images)]
    return sum(terms) / len(terms)


def hardest_of(similarity, keys, others):
    """For each query the place of its most similar candidate of another photograph."""
    rows = [[j for j, other in enumerate(others) if other != key] for key in keys]
    return [[max(row, key=lambda j, i=i: similarity[i, j].item())] for i, row in enumerate(rows)]


@pytest.mark.parametrize("negatives", [InBatch(), Hardest()], ids=["in_batch", "hardest"])
@pytest.mark.parametrize("has_outside", [False, True])
def test_of_photographs_and_captions_it_is_a_loop(negatives, has_outside):
    images, captions = unit(4, 5), unit(7, 5)
    drawn, shares = (unit(4, 2, 5), unit(7, 3, 5)), (torch.rand(4, 2) * 3, torch.rand(7, 3) * 3)
    shares[0][1, 0] = shares[1][2] = 0  # the third query has none
    keys = [KEYS[place] for place in OWNER]
    similarity = images @ captions.T
    outside = list(zip(drawn, shares, strict=True)) if has_outside else [(None, None)] * 2
    chosen = chosen_of(negatives, KEYS, keys, similarity, *outside[0]), chosen_of(negatives, keys, KEYS, similarity.T, *outside[1])
    if isinstance(negatives, InBatch):
        allowed = [[[j for j, other in enumerate(theirs) if other != key] for key in mine] for mine, theirs in [(KEYS, keys), (keys, KEYS)]]
    else:
        allowed = [hardest_of(similarity, KEYS, keys), hardest_of(similarity.T, keys, KEYS)]
    expected = matching_loop(images, captions, lambda way, query: allowed[way][query], drawn if has_outside else None, shares)
    assert InfoNCELoss(TEMPERATURE).of_matches(images, captions, torch.tensor(OWNER), *chosen).item() == pytest.approx(expected)


def test_with_one_caption_of_each_photograph_it_is_the_cross_entropy_of_both_ways():
    images, captions = unit(6, 5), unit(6, 5)
    keys = torch.arange(6)
    entries = Entries(keys, keys, [Random(row) for row in range(6)])
    term = Matching(InfoNCELoss(0.07), InBatch())
    value = term(images, captions, keys, term.choose("clean", images, captions, keys, entries, entries))
    logits = images @ captions.T / 0.07
    expected = (functional.cross_entropy(logits, keys) + functional.cross_entropy(logits.T, keys)) / 2
    assert value.item() == pytest.approx(expected.item())


def views_of(shape, in_step):
    """Two views of four photographs with different negatives from outside in each direction, of unequal weights."""
    anchor, other = torch.randn(2, *shape, dtype=torch.float64)
    similarity = InfoNCELoss().similarity(anchor, other)
    drawn, shares = torch.randn(2, 4, 3, *shape[1:], dtype=torch.float64), torch.rand(2, 4, 3) * torch.tensor([0.2, 3.0]).view(2, 1, 1)
    chosen = [chosen_of(in_step, KEYS, KEYS, way, *beyond) for way, *beyond in zip((similarity, similarity.T), drawn, shares, strict=True)]
    return anchor, other, drawn, shares, chosen


def views_loop(anchor, other, drawn, shares, in_step, backward=None):
    terms, backward = [], backward or in_step  # which others, of the anchor views and of the other views
    for i in range(4):
        own = cosine(anchor[i], other[i])
        beyond = [
            [(w.item(), cosine(view[i], point)) for w, point in zip(shares[v, i], drawn[v, i])] for v, view in enumerate((anchor, other))
        ]
        terms.append(surprise(own, [(1, cosine(anchor[i], other[j])) for j in range(4) if in_step[i][j]] + beyond[0]))
        terms.append(surprise(own, [(1, cosine(anchor[j], other[i])) for j in range(4) if backward[i][j]] + beyond[1]))
    return sum(terms) / len(terms)


@pooled_and_per_token
def test_of_two_views_it_is_a_loop_in_which_outside_negatives_count_their_weight(shape):
    anchor, other, drawn, shares, chosen = views_of(shape, InBatch())
    expected = views_loop(anchor, other, drawn, shares, [[one != another for another in KEYS] for one in KEYS])
    assert InfoNCELoss(TEMPERATURE).of_pairs(anchor, other, weighted(*chosen)).item() == pytest.approx(expected)


@pooled_and_per_token
def test_the_hardest_count_in_the_direction_that_chose_them_and_outside_their_weight(shape):
    anchor, other, drawn, shares, chosen = views_of(shape, Hardest())
    assert (chosen[0].weights != chosen[1].weights.T).any()  # chosen in one direction alone
    expected = views_loop(anchor, other, drawn, shares, chosen[0].weights.tolist(), chosen[1].weights.tolist())
    assert InfoNCELoss(TEMPERATURE).of_pairs(anchor, other, weighted(*chosen)).item() == pytest.approx(expected)


@pooled_and_per_token
def test_outside_of_one_direction_alone_and_no_negatives_in_the_step(shape):
    anchor, other, drawn, shares, _ = views_of(shape, InBatch())
    ones, none = torch.ones(4), torch.zeros(4, 4)
    pairs = weighted(Chosen(ones, none, drawn[0], shares[0]), Chosen(ones, none, drawn[1], shares[1]))
    expected = views_loop(anchor, other, drawn, shares, none.tolist())
    assert InfoNCELoss(TEMPERATURE).of_pairs(anchor, other, pairs).item() == pytest.approx(expected)
    shares[1] = 0
    pairs = weighted(Chosen(ones, none, drawn[0], shares[0]))
    expected = views_loop(anchor, other, drawn, shares, none.tolist())
    assert InfoNCELoss(TEMPERATURE).of_pairs(anchor, other, pairs).item() == pytest.approx(expected)


@pooled_and_per_token
def test_a_member_from_outside_of_weight_1_is_as_good_as_one_of_the_step(shape):
    """A fifth photograph beside the four, once in the step and once outside, seen from the first view of the four."""
    anchor, other = torch.randn(2, 5, *shape[1:], dtype=torch.float64)
    whole = functional.cross_entropy(InfoNCELoss().similarity(anchor, other)[:4] / TEMPERATURE, torch.arange(4), reduction="none")
    inner = InfoNCELoss().similarity(anchor[:4], other[:4])
    turned = functional.cross_entropy(inner.T / TEMPERATURE, torch.arange(4), reduction="none")
    ones, weights = torch.ones(4), 1 - torch.eye(4)
    pairs = weighted(Chosen(ones, weights, other[4].expand(4, 1, *shape[1:]), torch.ones(4, 1)), Chosen(ones, weights))
    value = InfoNCELoss(TEMPERATURE).of_pairs(anchor[:4], other[:4], pairs)
    assert value.item() == pytest.approx((whole + turned).mean().item() / 2)


@pooled_and_per_token
def test_gradients_agree_with_differences(shape):
    anchor, other, *_, chosen = views_of(shape, Hardest())
    pairs, inputs = weighted(*chosen), (anchor.requires_grad_(), other.requires_grad_())
    assert torch.autograd.gradcheck(lambda anchor, other: InfoNCELoss(TEMPERATURE).of_pairs(anchor, other, pairs), inputs)


def test_gradients_of_matches_agree_with_differences():
    images, captions = unit(4, 5).requires_grad_(), unit(7, 5).requires_grad_()
    keys, owner, outside = [KEYS[place] for place in OWNER], torch.tensor(OWNER), (unit(4, 2, 5), unit(7, 2, 5))
    chosen = [
        chosen_of(InBatch(), mine, theirs, None, points, torch.rand(points.shape[:2]))
        for mine, theirs, points in zip((KEYS, keys), (keys, KEYS), outside, strict=True)
    ]
    inputs = images, captions
    assert torch.autograd.gradcheck(lambda images, captions: InfoNCELoss(TEMPERATURE).of_matches(images, captions, owner, *chosen), inputs)


def test_harm_of_a_similarity_is_what_it_costs_alone():
    own, similarity = torch.tensor([0.5, -0.2]), torch.tensor([[0.1, 0.9], [0.0, 1.0]])
    expected = [[surprise(own[q].item(), [(1, similarity[q, r].item())]) for r in range(2)] for q in range(2)]
    assert torch.allclose(InfoNCELoss(TEMPERATURE).similarity_harm(own, similarity), torch.tensor(expected))


@pooled_and_per_token
def test_harm_of_an_embedding_is_its_cosine_over_the_temperature(shape):
    views, candidates = torch.randn(shape), torch.randn(4, 3, *shape[1:])
    expected = [[cosine(views[q], candidates[q, r]) / TEMPERATURE for r in range(3)] for q in range(4)]
    assert torch.allclose(InfoNCELoss(TEMPERATURE).harm(views, candidates), torch.tensor(expected), atol=1e-6)
