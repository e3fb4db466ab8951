"""The hardest negatives of a step against a loop, random ones by counting, and the weights of what was chosen in both directions."""

from random import Random

import pytest
import torch

from soli.interfaces import Chosen, Queries, SoliError
from soli.negatives import Hardest, InBatch, RandomNegative, weighted
from tests.keyed_pairs import pairs_of

KEYS, OTHERS = [3, 3, 4, 5, 9], [4, 3, 3, 5, 6, 6, 4]  # 9 is no candidate


def queries(similarity, keys=KEYS, others=OTHERS, draw=0, direction="other"):
    return Queries(
        direction, torch.tensor(keys), torch.tensor(others), [Random(f"{draw}/{row}") for row in range(len(keys))], similarity=similarity
    )


def hardest_loop(similarity, keys, others, number):
    """Of each query in turn the most similar candidate that is left, the first of equals, `number` times."""
    weights = torch.zeros(len(keys), len(others))
    for i, key in enumerate(keys):
        left = [j for j, other in enumerate(others) if other != key]
        for _ in range(min(number, len(left))):
            best = left[0]
            for j in left:
                if similarity[i][j] > similarity[i][best]:
                    best = j
            left.remove(best)
            weights[i, best] = 1
    return weights


@pytest.mark.parametrize("number", [1, 2, 4, 6, 100])
@pytest.mark.parametrize("levels", [2, 5, 10000], ids=["many_ties", "ties", "none"])
def test_the_hardest_are_those_of_a_loop_also_with_ties_and_repeated_photographs(number, levels):
    for _ in range(10):
        similarity = torch.randint(levels, (5, 7)).float() / levels - 0.5
        chosen = Hardest(number).choose(queries(similarity))
        assert torch.equal(chosen.weights, hardest_loop(similarity, KEYS, OTHERS, number))
        assert torch.equal(chosen.own, torch.ones(5)) and chosen.outside is None


def test_of_many_equal_ones_the_first_is_the_hardest():
    keys, others = list(range(300)), list(range(1000))
    chosen = Hardest(3).choose(queries(torch.zeros(300, 1000), keys, others)).weights
    expected = [[j for j in range(4) if j != i][:3] for i in range(300)]
    assert [row.nonzero().flatten().tolist() for row in chosen] == expected


def test_by_hand_the_two_hardest_of_four():
    similarity = torch.tensor([[0.9, 0.1, 0.5, 0.5], [0.2, 0.9, 0.3, -0.4], [0.7, 0.7, 0.9, 0.7], [-0.1, -0.3, -0.2, 0.9]])
    expected = torch.tensor([[0.0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0]])
    assert torch.equal(Hardest(2).choose(queries(similarity, range(4), range(4))).weights, expected)


def test_a_step_of_one_photograph_has_no_hardest():
    assert not Hardest(2).choose(queries(torch.rand(3, 3), [4] * 3, [4] * 3)).weights.any()


@pytest.mark.parametrize("similarity", [torch.full((5, 7), -1e9), torch.full((5, 7), -torch.inf)], ids=["low", "infinite"])
def test_a_copy_is_never_hardest_however_unlike_the_others_are(similarity):
    is_copy = torch.tensor(KEYS)[:, None] == torch.tensor(OTHERS)
    similarity = similarity.masked_fill(is_copy, 1.0)
    assert not Hardest(3).choose(queries(similarity)).weights[is_copy].any()


def test_as_many_as_there_are_is_all_of_the_step():
    similarity = torch.randn(5, 7)
    assert torch.equal(Hardest(7).choose(queries(similarity)).weights, InBatch().choose(queries(similarity)).weights)


def test_the_order_of_candidates_changes_nothing_but_their_places():
    similarity, order = torch.randn(5, 7), [3, 6, 0, 2, 5, 1, 4]
    moved = Hardest(2).choose(queries(similarity[:, order], KEYS, [OTHERS[place] for place in order])).weights
    assert torch.equal(moved, Hardest(2).choose(queries(similarity)).weights[:, order])


def test_in_the_first_steps_of_each_direction_all_others_count():
    similarity, negatives = torch.randn(5, 7), Hardest(1, warmup_steps=2)
    numbers = [negatives.choose(queries(similarity)).weights.sum().item() for _ in range(4)]
    assert numbers == [26 + 2, 26 + 2, 5, 5]
    assert negatives.choose(queries(similarity, direction="anchor")).weights.sum() == 28
    again = Hardest(1, warmup_steps=2)
    again.load_state_dict(negatives.state_dict())
    assert again.choose(queries(similarity)).weights.sum() == 5
    assert [again.choose(queries(similarity, direction="anchor")).weights.sum().item() for _ in range(2)] == [28, 5]


@pytest.mark.parametrize(("key", "value"), [("number", 0), ("number", -1), ("warmup_steps", -1)])
def test_values_out_of_range_are_refused(key, value):
    with pytest.raises(SoliError, match=rf"negatives\.{key}={value} must be"):
        Hardest(**{key: value})


def test_random_negatives_are_uniform_over_the_other_photographs():
    """Chi-square of five rows with 5, 5, 5, 6 and 7 candidates, 23 degrees: 1 in 10,000."""
    counts = sum(RandomNegative().choose(queries(None, draw=draw)).weights for draw in range(3000))
    allowed = torch.tensor(KEYS)[:, None] != torch.tensor(OTHERS)
    assert (
        allowed.sum(1).tolist() == [5, 5, 5, 6, 7] and not counts[~allowed].any() and torch.equal(counts.sum(1), torch.full((5,), 3000.0))
    )
    expected = 3000 / allowed.sum(1, keepdim=True)
    assert ((counts - expected) ** 2 / expected)[allowed].sum() < 58


def test_a_random_negative_is_a_function_of_its_querys_generator():
    given = queries(None, list(range(30)), list(range(30)))
    first, again, other = (RandomNegative().choose(queries(None, list(range(30)), list(range(30)), draw)).weights for draw in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    order = torch.randperm(30)
    moved = Queries("other", given.keys[order], given.candidate_keys, [given.generators[place] for place in order])
    assert torch.equal(RandomNegative().choose(moved).weights, first[order])


def test_random_pairs_weigh_one_half_as_do_their_positives():
    pairs = pairs_of(RandomNegative(), [5, 6, 5, 7], [Random(row) for row in range(4)])
    assert torch.allclose(pairs.same, torch.eye(4) / 8) and torch.allclose(pairs.different.sum(1), torch.full((4,), 1 / 8))
    alone = pairs_of(RandomNegative(), [5, 5, 5], [Random(row) for row in range(3)])
    assert torch.allclose(alone.same, torch.eye(3) / 3) and not alone.different.any()


def chosen_of(number, outside, negatives=None):
    keys = list(range(6))
    one = (negatives or Hardest(number)).choose(queries(torch.randn(6, 6), keys, keys))
    return Chosen(one.own, one.weights, torch.randn(6, outside, 4), torch.rand(6, outside)) if outside else one


@pytest.mark.parametrize("outside", [(0, 0), (3, 3), (3, 0), (0, 2)])
@pytest.mark.parametrize("negatives", [Hardest(2), InBatch()], ids=["hardest", "in_batch"])
def test_both_directions_and_outside_together_weigh_1_and_positives_one_half(outside, negatives):
    pairs = weighted(*(chosen_of(2, number, negatives) for number in outside))
    beyond = sum(part.weights.sum().item() for part in pairs.outside)
    assert pairs.same.sum().item() == pytest.approx(0.5)
    assert pairs.different.sum().item() + beyond == pytest.approx(0.5)
    assert [part.view for part in pairs.outside] == [view for view, number in enumerate(outside) if number]
    single = weighted(chosen_of(2, outside[0], negatives))
    assert (single.same.sum() + single.different.sum() + sum(part.weights.sum() for part in single.outside)).item() == pytest.approx(1)


def test_the_weights_of_both_directions_by_hand():
    """First view: one negative of each photograph, and outside 1 and 0. Second view: one negative of photograph 0, and outside 0 and 3."""
    ones, points = torch.ones(2), torch.randn(2, 2, 1, 4)
    first = Chosen(ones, torch.tensor([[0.0, 1], [1, 0]]), points[0], torch.tensor([[1.0], [0]]))
    second = Chosen(ones, torch.tensor([[0.0, 1], [0, 0]]), points[1], torch.tensor([[0.0], [3]]))
    pairs = weighted(first, second)
    assert torch.allclose(pairs.same, torch.eye(2) / 4)
    assert torch.allclose(pairs.different, torch.tensor([[0, 1 / 12], [1 / 12 + 1 / 16, 0]]))  # second view: photograph 0 is a column
    assert torch.allclose(pairs.outside[0].weights, torch.tensor([[1 / 12], [0]]))
    assert torch.allclose(pairs.outside[1].weights, torch.tensor([[0], [3 / 16]]))
    assert all(torch.equal(part.embeddings, given) for part, given in zip(pairs.outside, points, strict=True))
    assert [part.chosen.tolist() for part in pairs.outside] == [[[1.0], [0.0]], [[0.0], [3.0]]]


def test_negatives_weigh_as_many_photographs_as_have_any():
    chosen = Chosen(torch.ones(4), torch.tensor([[0.0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]))
    pairs = weighted(chosen)
    assert torch.allclose(pairs.same, torch.eye(4) / 6) and pairs.different.sum().item() == pytest.approx(2 / 6)
