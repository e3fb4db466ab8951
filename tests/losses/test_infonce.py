"""InfoNCE against loops over rows and columns written out by hand, closed forms and finite differences."""

import math
from random import Random

import pytest
import torch

from soli.interfaces import Pairs, SoliError
from soli.losses import InfoNCELoss
from soli.negatives import InBatch, RandomPartner
from tests.keyed_pairs import pairs_of

DISTINCT, REPEATED = [0, 1, 2, 3, 4, 5], [0, 1, 2, 1, 4, 1]
pooled_and_per_token = pytest.mark.parametrize("shape", [(6, 5), (6, 4, 5)], ids=["pooled", "per_token"])
both_keys = pytest.mark.parametrize("keys", [DISTINCT, REPEATED], ids=["distinct", "repeated"])


def cosine_of(one, other):
    """By hand; of (L, E) the mean of the cosines of the places."""
    if one.dim() == 2:
        return sum(cosine_of(*places) for places in zip(one, other, strict=True)) / len(one)
    one, other = one.tolist(), other.tolist()
    product = sum(first * second for first, second in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)


def surprise(candidates, temperature):
    """-log softmax of the first of some cosines."""
    return math.log(sum(math.exp((candidate - candidates[0]) / temperature) for candidate in candidates))


def views(shape):
    return torch.randn(2, *shape, dtype=torch.float64)


@pooled_and_per_token
@both_keys
@pytest.mark.parametrize("temperature", [0.1, 2])
def test_the_loss_is_a_loop_over_rows_and_columns(shape, keys, temperature):
    anchor, other = views(shape)
    terms = []
    for i in range(6):
        candidates = [i, *(j for j in range(6) if keys[j] != keys[i])]
        terms.append(surprise([cosine_of(anchor[i], other[j]) for j in candidates], temperature))
        terms.append(surprise([cosine_of(anchor[j], other[i]) for j in candidates], temperature))
    assert InfoNCELoss(temperature).of_pairs(anchor, other, pairs_of(InBatch(), keys)).item() == pytest.approx(sum(terms) / 12)


@pooled_and_per_token
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_equal_embeddings_score_the_log_of_the_number_of_candidates(shape, temperature):
    embeddings, loss = torch.randn(shape[1:]).expand(shape), InfoNCELoss(temperature)
    assert loss.of_pairs(embeddings, embeddings, pairs_of(InBatch(), DISTINCT)).item() == pytest.approx(math.log(6), rel=1e-5)
    repeated = (3 * math.log(6) + 3 * math.log(4)) / 6  # the three rows of key 1 have three candidates less one
    assert loss.of_pairs(embeddings, embeddings, pairs_of(InBatch(), REPEATED)).item() == pytest.approx(repeated, rel=1e-5)
    assert loss.of_pairs(embeddings, embeddings, pairs_of(InBatch(), [7] * 6)).item() == 0


@pytest.mark.parametrize("embeddings", [torch.eye(4), torch.tensor([[1.0, 2, 3], [-1, -2, -3]])], ids=["orthogonal", "opposite"])
def test_copies_that_coincide_apart_from_all_others_cost_nothing_and_wrong_ones_much(embeddings):
    loss, pairs = InfoNCELoss(0.05), pairs_of(InBatch(), range(len(embeddings)))
    assert 0 <= loss.of_pairs(embeddings, embeddings, pairs).item() < 1e-6
    wrong = (embeddings[0] @ embeddings[0] - embeddings[0] @ embeddings[1]) / embeddings[0].square().sum() / 0.05
    assert loss.of_pairs(embeddings, embeddings.roll(1, 0), pairs).item() == pytest.approx(wrong.item(), rel=1e-4)


@pooled_and_per_token
def test_the_lengths_of_embeddings_and_their_distances_do_not_matter(shape):
    anchor, other = views(shape)
    loss, pairs = InfoNCELoss(), pairs_of(InBatch(), REPEATED)
    value = loss.of_pairs(anchor, other, pairs).item()
    loss.measure(17.0)
    lengths = torch.rand(*shape[:-1], 1) + 0.5
    assert loss.of_pairs(lengths * anchor, 10 * other, pairs).item() == pytest.approx(value, rel=1e-6)


@pooled_and_per_token
def test_the_order_of_the_batch_and_of_the_views_changes_nothing(shape):
    anchor, other = views(shape)
    loss, order = InfoNCELoss(), [3, 0, 5, 1, 4, 2]
    value = loss.of_pairs(anchor, other, pairs_of(InBatch(), REPEATED)).item()
    permuted = pairs_of(InBatch(), [REPEATED[place] for place in order])
    assert loss.of_pairs(anchor[order], other[order], permuted).item() == pytest.approx(value)
    assert loss.of_pairs(other, anchor, pairs_of(InBatch(), REPEATED)).item() == pytest.approx(value)
    assert loss.of_pairs(anchor[order], other, pairs_of(InBatch(), REPEATED)).item() != pytest.approx(value, rel=1e-3)


@pooled_and_per_token
@both_keys
def test_gradients_agree_with_differences(shape, keys):
    inputs = tuple(view.clone().requires_grad_() for view in views(shape))
    pairs = pairs_of(InBatch(), keys)
    assert torch.autograd.gradcheck(lambda anchor, other: InfoNCELoss(0.5).of_pairs(anchor, other, pairs), inputs)


@pytest.mark.parametrize("temperature", [0, 0.0, -0.1, math.inf, math.nan])
def test_a_temperature_that_is_no_positive_number_is_refused(temperature):
    with pytest.raises(SoliError, match=r"contrastive\.temperature=.* must be a number above 0"):
        InfoNCELoss(temperature)


@pytest.mark.parametrize("same_fraction", [0.0, 0.5])
def test_pairs_of_a_random_partner_are_refused(same_fraction):
    pairs = pairs_of(RandomPartner(same_fraction), DISTINCT, [Random(f"pair {row}") for row in range(6)])
    with pytest.raises(SoliError, match="choose negatives=in_batch"):
        InfoNCELoss().of_pairs(*views((6, 5)), pairs)


def test_embeddings_of_other_shapes_than_the_pairs_are_refused():
    pairs = pairs_of(InBatch(), DISTINCT)
    for first, second in [((6, 5), (5, 5)), ((5, 5), (5, 5)), ((6, 5), (6, 1, 5))]:
        with pytest.raises(SoliError):
            InfoNCELoss().of_pairs(torch.randn(first), torch.randn(second), pairs)


def test_a_photograph_alone_costs_nothing():
    assert InfoNCELoss().of_pairs(torch.randn(1, 5), torch.randn(1, 5), Pairs(torch.ones(1, 1), torch.zeros(1, 1))).item() == 0


def test_without_pairs_all_others_are_negatives():
    anchor, other = views((6, 5))
    assert InfoNCELoss()(anchor, other).item() == pytest.approx(InfoNCELoss().of_pairs(anchor, other, pairs_of(InBatch(), range(6))).item())
