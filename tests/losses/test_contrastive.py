"""SOLI's Eq. 7 against loops written out by hand, closed forms and finite differences, and the shapes that would go wrong silently."""

import math
from random import Random

import pytest
import torch

from soli.interfaces import Pairs, SoliError
from soli.losses import ContrastiveLoss
from soli.losses.contrastive import distances, mean_distance
from soli.negatives import InBatch, RandomPartner
from tests.keyed_pairs import pairs_of

MARGIN = 3.0
KEYS = [0, 1, 2, 3, 4, 1]  # rows 1 and 5 are one photograph
DIFFERENT = torch.tensor([0, 1, 1, 0, 1, 0])
BAD_EMBEDDINGS = [
    ((6, 5), (5, 5)),
    ((1, 5), (6, 5)),
    ((6, 5), (6, 4)),
    ((6, 5), (6, 1, 5)),
    ((6, 2, 5), (6, 1, 5)),
    ((0, 5), (0, 5)),
    ((6, 0), (6, 0)),
    ((6, 0, 5), (6, 0, 5)),
    ((5,), (5,)),
    ((6, 2, 3, 4), (6, 2, 3, 4)),
]
pooled_and_per_token = pytest.mark.parametrize("shape", [(6, 5), (6, 4, 5)], ids=["pooled", "per_token"])
both_negatives = pytest.mark.parametrize("negatives", [InBatch(), RandomPartner()], ids=["in_batch", "random_partner"])


def distance_of(one, other):
    """By hand; of (L, E) the mean of the distances of the places."""
    if one.dim() == 2:
        return sum(distance_of(*places) for places in zip(one, other, strict=True)) / len(one)
    return math.sqrt(sum((first - second) ** 2 for first, second in zip(one.tolist(), other.tolist(), strict=True)))


def cost(distance, different, margin=MARGIN):
    return max(margin - distance, 0.0) ** 2 if different else distance**2


def views(shape, requires_grad=False):
    """Two views in double precision, of distances on both sides of MARGIN and none so near to it that differences meet the bend."""
    anchor, other = torch.randn(2, *shape, dtype=torch.float64)
    bend = (distances(anchor, other) - MARGIN).flatten()
    assert bend.min() < -0.1 and bend.max() > 0.1 and bend.abs().min() > 1e-3
    return anchor.requires_grad_(requires_grad), other.requires_grad_(requires_grad)


def draw_pairs(negatives):
    pairs = pairs_of(negatives, KEYS, [Random(f"pair {row}") for row in range(6)])
    assert pairs.same.any() and pairs.different.any()
    return pairs


def of_order(pairs, order):
    return Pairs(pairs.same[order][:, order], pairs.different[order][:, order])


@pooled_and_per_token
def test_the_loss_is_the_loop_of_eq_7(shape):
    anchor, other = views(shape)
    costs = [cost(distance_of(a, b), y) for a, b, y in zip(anchor, other, DIFFERENT.tolist(), strict=True)]
    assert ContrastiveLoss(MARGIN)(anchor, other, DIFFERENT).item() == pytest.approx(sum(costs) / 6)


@pooled_and_per_token
@both_negatives
def test_the_loss_of_pairs_is_a_double_loop(shape, negatives):
    anchor, other = views(shape)
    pairs, total = draw_pairs(negatives), 0.0
    for i in range(6):
        for j in range(6):
            distance = distance_of(anchor[i], other[j])
            total += pairs.same[i, j].item() * cost(distance, False) + pairs.different[i, j].item() * cost(distance, True)
    assert ContrastiveLoss(MARGIN).of_pairs(anchor, other, pairs).item() == pytest.approx(total)


@pooled_and_per_token
def test_in_batch_it_is_the_mean_of_positives_and_of_negatives_half_each(shape):
    anchor, other = views(shape)
    own = [cost(distance_of(anchor[i], other[i]), False) for i in range(6)]
    others = [cost(distance_of(anchor[i], other[j]), True) for i in range(6) for j in range(6) if KEYS[i] != KEYS[j]]
    expected = (sum(own) / len(own) + sum(others) / len(others)) / 2
    assert ContrastiveLoss(MARGIN).of_pairs(anchor, other, pairs_of(InBatch(), KEYS)).item() == pytest.approx(expected)


@pooled_and_per_token
def test_pairs_of_aligned_labels_give_what_the_labels_give(shape):
    anchor, other = views(shape)
    pairs = Pairs(torch.diag(1.0 - DIFFERENT) / 6, torch.diag(DIFFERENT.float()) / 6)
    loss = ContrastiveLoss(MARGIN)
    assert loss.of_pairs(anchor, other, pairs).item() == pytest.approx(loss(anchor, other, DIFFERENT).item())


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_labels_of_any_type_and_of_both_shapes_mean_the_same(dtype, shape):
    anchor, other = views((6, 5))
    loss = ContrastiveLoss(MARGIN)
    assert torch.equal(loss(anchor, other, DIFFERENT.to(dtype).view(shape)), loss(anchor, other, DIFFERENT))


def test_a_column_of_labels_is_not_compared_with_every_distance():
    """The well-known mistake: (B, 1) against (B,) becomes (B, B), and each pair is taken for the same and for different."""
    anchor, other = views((6, 5))
    labels, distance = DIFFERENT[:, None], (anchor - other).norm(dim=-1)
    mistaken = (1 - labels) * distance**2 + labels * (MARGIN - distance).clamp(min=0) ** 2
    assert mistaken.shape == (6, 6)
    assert ContrastiveLoss(MARGIN)(anchor, other, labels).item() != pytest.approx(mistaken.mean().item(), rel=0.01)


@pytest.mark.parametrize("shape", [(7,), (5,), (6, 2), (1, 6), (6, 1, 1), (1,), (0,), ()])
def test_labels_of_other_shapes_are_refused(shape):
    with pytest.raises(SoliError, match="labels of 6 pairs have the shape"):
        ContrastiveLoss(MARGIN)(*views((6, 5)), torch.ones(shape))


@pytest.mark.parametrize(("first", "second"), BAD_EMBEDDINGS)
def test_embeddings_of_unequal_or_other_shapes_are_refused(first, second):
    anchor, other = torch.randn(first), torch.randn(second)
    with pytest.raises(SoliError, match="embeddings of two views have one shape"):
        ContrastiveLoss(MARGIN)(anchor, other, torch.ones(len(anchor)))
    with pytest.raises(SoliError, match="embeddings of two views have one shape"):
        ContrastiveLoss(MARGIN).of_pairs(anchor, other, pairs_of(InBatch(), KEYS))


@pytest.mark.parametrize(
    ("distance", "different", "expected"),
    [(0.0, 0, 0.0), (0.0, 1, 4.0), (0.5, 1, 2.25), (2.0, 1, 0.0), (2.5, 1, 0.0), (0.5, 0, 0.25), (3.0, 0, 9.0)],
)
@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5)])
def test_closed_forms_without_a_factor_of_one_half(distance, different, expected, shape):
    anchor = torch.randn(shape, dtype=torch.float64)
    step = torch.tensor([0.6, 0.0, -0.8, 0.0, 0.0])  # of length 1
    assert ContrastiveLoss(2.0)(anchor, anchor + distance * step, torch.full((3,), different)).item() == pytest.approx(expected)


def test_one_pair_is_enough():
    assert ContrastiveLoss(2.0)(torch.zeros(1, 5), torch.zeros(1, 5), torch.ones(1, 1)).item() == 4


def test_places_are_compared_one_by_one_and_not_on_average():
    """Two places that move against each other: their mean stays where it was."""
    anchor, other = torch.zeros(1, 2, 3), torch.tensor([[[3.0, 0, 4], [-3, 0, -4]]])
    assert ContrastiveLoss(1.0)(anchor, other, torch.zeros(1)).item() == pytest.approx(25)


@pooled_and_per_token
@pytest.mark.parametrize("relative", [False, True])
def test_gradients_agree_with_differences(shape, relative):
    loss, inputs = ContrastiveLoss(MARGIN, relative), views(shape, requires_grad=True)
    assert torch.autograd.gradcheck(lambda anchor, other: loss(anchor, other, DIFFERENT), inputs)
    for negatives in (InBatch(), RandomPartner()):
        pairs = draw_pairs(negatives)
        assert torch.autograd.gradcheck(lambda anchor, other, pairs=pairs: loss.of_pairs(anchor, other, pairs), inputs)


@pooled_and_per_token
def test_gradients_are_finite_where_embeddings_coincide(shape):
    loss, other = ContrastiveLoss(100.0), torch.randn(shape)
    other[3] = other[4]  # two photographs in one point
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    for value in (lambda anchor: loss(anchor, other, labels), lambda anchor: loss.of_pairs(anchor, other, pairs_of(InBatch(), KEYS))):
        anchor = other.clone()
        anchor[:2] += 1  # the rest coincides with its copy
        value(anchor.requires_grad_()).backward()
        assert anchor.grad.isfinite().all() and anchor.grad[0].abs().sum() > 0


@pytest.mark.parametrize("margin", [0, 0.0, -1, math.inf, -math.inf, math.nan, "Auto", "1.0", "", None])
def test_a_margin_that_is_no_positive_number_is_refused(margin):
    with pytest.raises(SoliError, match=r"contrastive\.margin=.* auto"):
        ContrastiveLoss(margin)


@pytest.mark.parametrize("relative", [False, True])
def test_a_margin_of_auto_is_the_distance_that_was_measured(relative):
    loss, plain = ContrastiveLoss("auto", relative), ContrastiveLoss(MARGIN, relative)
    anchor, other = views((6, 5))
    pairs = pairs_of(InBatch(), KEYS)
    assert loss.unit is None
    for value in (lambda: loss(anchor, other, DIFFERENT), lambda: loss.of_pairs(anchor, other, pairs)):
        with pytest.raises(SoliError, match=r"not measured yet.*measure\("):
            value()
    loss.measure(MARGIN)
    assert loss.unit == MARGIN
    assert torch.equal(loss(anchor, other, DIFFERENT), plain(anchor, other, DIFFERENT))
    assert torch.equal(loss.of_pairs(anchor, other, pairs), plain.of_pairs(anchor, other, pairs))


@pytest.mark.parametrize("distance", [0.0, math.nan, math.inf])
def test_a_measured_distance_that_is_no_margin_is_refused(distance):
    with pytest.raises(SoliError, match=r"margin=auto.*Give"):
        ContrastiveLoss("auto").measure(distance)


def test_a_margin_that_was_given_is_not_measured():
    loss = ContrastiveLoss(2)
    loss.measure(7.0)
    loss.measure(0.0)
    assert loss.unit == 2.0


@pooled_and_per_token
def test_a_relative_loss_is_divided_by_the_squared_margin_and_has_no_scale(shape):
    anchor, other = views(shape)
    pairs, plain, relative = pairs_of(InBatch(), KEYS), ContrastiveLoss(MARGIN), ContrastiveLoss(MARGIN, relative=True)
    larger = ContrastiveLoss(10 * MARGIN, relative=True)
    expected = plain(anchor, other, DIFFERENT).item() / MARGIN**2
    assert relative(anchor, other, DIFFERENT).item() == pytest.approx(expected)
    assert larger(10 * anchor, 10 * other, DIFFERENT).item() == pytest.approx(expected)
    expected = plain.of_pairs(anchor, other, pairs).item() / MARGIN**2
    assert relative.of_pairs(anchor, other, pairs).item() == pytest.approx(expected)
    assert larger.of_pairs(10 * anchor, 10 * other, pairs).item() == pytest.approx(expected)


@pooled_and_per_token
def test_swapped_views_with_transposed_pairs_give_the_same(shape):
    anchor, other = views(shape)
    loss, pairs = ContrastiveLoss(MARGIN), draw_pairs(RandomPartner())
    value = loss.of_pairs(anchor, other, pairs).item()
    assert loss.of_pairs(other, anchor, Pairs(pairs.same.T, pairs.different.T)).item() == pytest.approx(value)
    assert loss.of_pairs(other, anchor, pairs).item() != pytest.approx(value, rel=1e-3)  # rows are of the first view
    assert loss(other, anchor, DIFFERENT).item() == pytest.approx(loss(anchor, other, DIFFERENT).item())


@pooled_and_per_token
@both_negatives
def test_the_order_of_the_batch_changes_nothing(shape, negatives):
    anchor, other = views(shape)
    loss, pairs, order = ContrastiveLoss(MARGIN), draw_pairs(negatives), [3, 0, 5, 1, 4, 2]
    value = loss.of_pairs(anchor, other, pairs).item()
    assert loss.of_pairs(anchor[order], other[order], of_order(pairs, order)).item() == pytest.approx(value)
    assert loss.of_pairs(anchor[order], other, pairs).item() != pytest.approx(value, rel=1e-3)
    assert loss(anchor[order], other[order], DIFFERENT[order]).item() == pytest.approx(loss(anchor, other, DIFFERENT).item())


@pytest.mark.parametrize("places", [(), (4,)], ids=["pooled", "per_token"])
def test_distances_of_all_pairs_are_a_double_loop(places):
    anchor, other = torch.randn(4, *places, 5), torch.randn(3, *places, 5)
    expected = torch.tensor([[distance_of(a, b) for b in other] for a in anchor])
    assert torch.allclose(distances(anchor, other), expected, rtol=1e-5)


@pytest.mark.parametrize("places", [(), (2,)], ids=["pooled", "per_token"])
def test_distances_of_near_copies_keep_their_digits(places):
    """Far from the origin |a|^2 + |b|^2 - 2ab would lose them, and PyTorch takes that way from 26 rows on."""
    anchor = 10 + torch.randn(40, *places, 64)
    other = anchor + 1e-3 * torch.randn_like(anchor)
    expected = torch.tensor([distance_of(a, b) for a, b in zip(anchor, other)])
    assert torch.allclose(distances(anchor, other).diagonal(), expected, rtol=1e-3)


@pytest.mark.parametrize("places", [(), (4,)], ids=["pooled", "per_token"])
def test_the_mean_distance_is_that_of_different_rows(places):
    embeddings = torch.randn(5, *places, 6)
    apart = [distance_of(embeddings[i], embeddings[j]) for i in range(5) for j in range(i)]
    assert mean_distance(embeddings) == pytest.approx(sum(apart) / len(apart), rel=1e-5)
    assert mean_distance(embeddings[:1]) == 0


@pytest.mark.parametrize("label", [2.0, -1.0, math.nan])
def test_a_label_is_nought_or_one(label):
    anchor, other = views((6, 5))
    with pytest.raises(SoliError, match="a label is 0"):
        ContrastiveLoss()(anchor, other, torch.full((6,), label))


def test_pairs_of_another_number_of_photographs_are_refused():
    anchor, other = views((6, 5))
    with pytest.raises(SoliError, match=r"pairs of 6 photographs are \(6, 6\), not \(1, 1\)"):
        ContrastiveLoss().of_pairs(anchor, other, pairs_of(InBatch(), [1]))
