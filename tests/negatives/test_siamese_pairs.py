"""Hardest, clustered and adversarial negatives between the two views of SOLI, of pooled and of per-token embeddings, against loops."""

import math
from random import Random

import pytest
import torch

from soli.losses import ContrastiveLoss, InfoNCELoss
from soli.negatives import Adversarial, Clustered, Hardest, InBatch, RandomNegative
from soli.training.siamese import Siamese

KEYS = [4, 5, 6, 7, 5, 9]  # photographs 1 and 4 are byte-identical
MARGIN, TEMPERATURE = 4.0, 0.5
shapes = pytest.mark.parametrize("shape", [(6, 5), (6, 3, 5)], ids=["pooled", "per_token"])
losses = pytest.mark.parametrize("name", ["contrastive", "infonce"])
NEGATIVES = {
    "in_batch": InBatch,
    "hardest": Hardest,
    "random": RandomNegative,
    "clustered": lambda: Clustered(3, 4, weight=0.7, virtual=2, noise=0.1),
    "adversarial": lambda: Adversarial(2, noise=0.3, weight=1.5, in_step="hardest"),
    "drawn_alone": lambda: Adversarial(3, weight=0.5, in_step="none"),
}
all_negatives = pytest.mark.parametrize("kind", NEGATIVES)


def loss_of(name):
    return ContrastiveLoss(MARGIN) if name == "contrastive" else InfoNCELoss(TEMPERATURE)


def of_places(measure):
    """Of (L, E) the mean of the measures of the places."""

    def measured(one, other):
        if one.dim() == 2:
            return sum(measured(*places) for places in zip(one, other, strict=True)) / len(one)
        return measure(one.tolist(), other.tolist())

    return measured


@of_places
def distance(one, other):
    return math.dist(one, other)


@of_places
def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def ask(siamese, anchor, other, draw=0, keys=KEYS, places=range(6)):
    generators = [Random(f"{draw}/{key}/{place}") for key, place in zip(keys, places, strict=True)]
    return siamese.pairs(anchor, other, torch.tensor(keys), generators, torch.tensor(list(places)))


def third_step(kind, name, shape):
    """A term that has seen two steps, and its third: views (B, [L,] E), pairs and what was chosen."""
    negatives = NEGATIVES[kind]()
    if hasattr(negatives, "prepare"):
        negatives.prepare({"other": 6, "anchor": 6}, 10)
    siamese = Siamese(loss_of(name), negatives)
    for draw in range(3):
        anchor, other = torch.randn(2, *shape)
        pairs, chosen = ask(siamese, anchor, other, draw)
    return siamese, anchor, other, pairs, chosen


@shapes
@losses
def test_the_hardest_is_the_nearest_by_the_losss_own_measure_in_each_direction(name, shape):
    """The lengths of the embeddings differ much, so that the nearest is often not the one of the largest cosine."""
    anchor, other = torch.randn(2, *shape) * (torch.rand(2, 6, *[1] * (len(shape) - 1)) * 3 + 0.2)
    measure = {"contrastive": lambda one, another: -distance(one, another), "infonce": cosine}[name]
    expected = torch.zeros(6, 6)
    for i in range(6):
        others = [j for j in range(6) if KEYS[j] != KEYS[i]]
        expected[i, max(others, key=lambda j, i=i: measure(anchor[i], other[j]))] += 1 / 24
        expected[max(others, key=lambda j, i=i: measure(anchor[j], other[i])), i] += 1 / 24
    pairs, _ = ask(Siamese(loss_of(name), Hardest()), anchor, other)
    assert torch.allclose(pairs.different, expected) and torch.allclose(pairs.same, torch.eye(6) / 12)


@shapes
@losses
@all_negatives
def test_all_weights_sum_to_1_and_copies_are_no_negatives(kind, name, shape):
    *_, pairs, chosen = third_step(kind, name, shape)
    beyond = sum(part.weights.sum().item() for part in pairs.outside)
    assert pairs.same.sum().item() == pytest.approx(0.5) and pairs.different.sum().item() + beyond == pytest.approx(0.5)
    assert not pairs.different[torch.tensor(KEYS)[:, None] == torch.tensor(KEYS)].any()
    assert len(chosen) == (1 if kind == "in_batch" else 2)
    has_outside = kind in ("clustered", "adversarial", "drawn_alone")
    assert [(part.view, part.embeddings.shape[2:]) for part in pairs.outside] == ([(0, shape[1:]), (1, shape[1:])] if has_outside else [])
    assert not any(part.embeddings.requires_grad for part in pairs.outside)


def contrastive_loop(anchor, other, pairs):
    total = 0.0
    for i in range(6):
        for j in range(6):
            apart = distance(anchor[i], other[j])
            total += pairs.same[i, j].item() * apart**2 + pairs.different[i, j].item() * max(MARGIN - apart, 0) ** 2
        for part in pairs.outside:
            for r in range(part.embeddings.shape[1]):
                apart = distance((anchor, other)[part.view][i], part.embeddings[i, r])
                total += part.weights[i, r].item() * max(MARGIN - apart, 0) ** 2
    return total


def infonce_loop(anchor, other, chosen):
    """Negatives of the step count 1 in the direction that chose them; those from outside what was said of them."""
    forward, backward = chosen[0].weights, chosen[1].weights if len(chosen) == 2 else chosen[0].weights.T
    total = 0.0
    for i in range(6):
        own = cosine(anchor[i], other[i])
        rows = (
            [cosine(anchor[i], other[j]) for j in range(6) if forward[i, j]],
            [cosine(anchor[j], other[i]) for j in range(6) if backward[i, j]],
        )
        for view, (row, one) in enumerate(zip(rows, chosen if len(chosen) == 2 else chosen * 2, strict=True)):
            shares = sum(math.exp((value - own) / TEMPERATURE) for value in row)
            for point, weight in zip([], []) if one.outside is None else zip(one.outside[i], one.outside_weights[i], strict=True):
                if weight == 0:
                    continue
                value = cosine((anchor, other)[view][i], point.unflatten(-1, anchor.shape[1:]))
                shares += weight.item() * math.exp((value - own) / TEMPERATURE)
            total += math.log(1 + shares) / 12
    return total


def false_negative_loop(anchor, other, chosen, weight, alpha, beta):
    """Eq. 5, the mean over both directions and all photographs, of embeddings flattened."""
    total = 0.0
    for queries, own, one in zip((anchor, other), (other, anchor), chosen, strict=True):
        for x, positive, nearest, second in zip(queries.flatten(1), own.flatten(1), *one.clusters, strict=True):
            total += max(cosine(nearest, x) - cosine(positive, x) + alpha, 0.0) / 12
            total += max(cosine(second, x) - cosine(nearest, x) + beta, 0.0) / 12
    return weight * total


@shapes
@losses
@all_negatives
def test_the_loss_with_negatives_from_outside_is_a_loop(kind, name, shape):
    siamese, anchor, other, pairs, chosen = third_step(kind, name, shape)
    expected = contrastive_loop(anchor, other, pairs) if name == "contrastive" else infonce_loop(anchor, other, chosen)
    assert siamese.loss.of_pairs(anchor, other, pairs).item() == pytest.approx(expected, rel=1e-5)
    if kind == "clustered":
        expected += false_negative_loop(anchor, other, chosen, 0.1, 0.1, 0.1)
    assert siamese(anchor, other, pairs, chosen).item() == pytest.approx(expected, rel=1e-5)


@shapes
@losses
def test_what_is_drawn_was_seen_in_the_view_that_is_looked_for_and_is_of_another_photograph(name, shape):
    _, anchor, other, pairs, _ = third_step("adversarial", name, shape)
    for part, candidates in zip(pairs.outside, (other, anchor), strict=True):
        same = (part.embeddings.unsqueeze(2) == candidates).flatten(3).all(-1)  # (B, R, B): all were seen in this step
        assert same.any(-1).all()
        assert all(KEYS[place] != KEYS[i] for i in range(6) for place in same.int().argmax(-1)[i].tolist())


@shapes
def test_the_generator_learns_to_draw_what_the_loss_repels_most(shape):
    """All photographs of the second view lie far out, but for number 3, the nearest to all, though no likelier by direction."""
    anchor, other = torch.randn(2, *shape) + torch.tensor([2.0, 0, 0, 0, 0])
    other = torch.where((torch.arange(6) == 3).view(6, *[1] * (len(shape) - 1)), 0.1, 4.0) * other.roll(1, -1)
    negatives = Adversarial(1, in_step="none", lr=0.05, temperature=0.3)
    negatives.prepare({"other": 6, "anchor": 6}, 150)
    siamese, shares = Siamese(ContrastiveLoss(8.0), negatives), []
    for draw in range(150):
        outside = ask(siamese, anchor, other, draw, keys=range(6))[0].outside[0].embeddings
        shares.append((outside[[0, 1, 2, 4, 5], 0] == other[3]).flatten(1).all(1).float().mean())
    assert torch.stack(shares[:3]).mean() < 0.5 and torch.stack(shares[-20:]).mean() > 0.9


@shapes
@losses
def test_the_order_of_photographs_moves_the_hardest_pairs_with_it(name, shape):
    anchor, other = torch.randn(2, *shape)
    siamese, order = Siamese(loss_of(name), Hardest(2)), [3, 0, 5, 1, 4, 2]
    pairs, chosen = ask(siamese, anchor, other)
    moved, _ = ask(siamese, anchor[order], other[order], keys=[KEYS[place] for place in order], places=order)
    assert torch.allclose(moved.different, pairs.different[order][:, order])
    assert siamese(anchor[order], other[order], moved, chosen).item() == pytest.approx(
        siamese(anchor, other, pairs, chosen).item(), rel=1e-5
    )


@shapes
@losses
@all_negatives
def test_gradients_reach_both_views_and_not_the_choice(kind, name, shape):
    siamese, anchor, other, *_ = third_step(kind, name, shape)
    anchor.requires_grad_(), other.requires_grad_()
    pairs, chosen = ask(siamese, anchor, other, draw=3)
    assert not pairs.different.requires_grad and not any(part.weights.requires_grad for part in pairs.outside)
    siamese(anchor, other, pairs, chosen).backward()
    assert all(view.grad.isfinite().all() and (view.grad.flatten(1).abs().sum(1) > 0).all() for view in (anchor, other))
