"""What the generator of the adversarial negatives learns: its baselines, its optimum, its entropy, and when it learns."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from soli.negatives import Adversarial
from tests.negatives.scripted_steps import drawn_places, prepared, step


def test_the_estimate_subtracts_no_the_mean_or_the_likeliest_candidates_reward():
    """Two steps at the rate 0; the gradient of the second is that of -(reward - baseline) * log share, averaged over the queries."""
    vectors = torch.randn(6, 3)
    rewards = 1 + vectors @ torch.randn(3).abs()
    units = vectors / vectors.norm(dim=1, keepdim=True)
    for baseline in ("none", "moving_average", "self_critical"):
        negatives = prepared(6, baseline=baseline, lr=0.0, temperature=0.3)
        previous, log_shares = [], None
        for number in range(3):
            harm = lambda drawn: rewards[(drawn[:, :, None] == vectors).all(-1).int().argmax(-1)]  # noqa: E731
            drawn = drawn_places(negatives, vectors, list(range(6)), harm=harm, draw=number).flatten()
            form = torch.eye(3, requires_grad=True)
            log_shares = (units @ form @ units.T / 0.3).masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf).log_softmax(1)
            average = 0.0 if not previous else previous[0] if number == 1 else 0.9 * previous[0] + 0.1 * previous[1]
            base = {"none": 0.0, "moving_average": average, "self_critical": rewards[log_shares.argmax(1)]}[baseline]
            objective = ((rewards[drawn] - base) * log_shares[range(6), drawn]).mean()
            assert torch.allclose(-negatives._generators["other"].form.grad, torch.autograd.grad(objective, form)[0], atol=1e-5)
            previous.append(rewards[drawn].mean())


def trained(steps, entropy=0.0, **settings):
    """The share of each of six candidates among the draws of a generator left alone; candidate 2 harms most, a little more than 4."""
    negatives = prepared(7, in_step="none", entropy=entropy, lr=0.03, temperature=0.5, **settings)
    vectors = functional.normalize(torch.randn(7, 5), dim=1)
    harms = torch.tensor([0.5, 0.2, 1.0, 0.1, 0.8, 0.3, 5.0])  # the last is the query's own photograph

    def harm(drawn):
        return harms[(drawn[:, :, None] == vectors).all(-1).int().argmax(-1)]

    asked = {"queries": torch.randn(1, 5).expand(100, 5), "query_keys": [6] * 100, "harm": harm}
    for number in range(steps + 1):
        outside = negatives.choose(step(vectors, list(range(7)), **asked, draw=number)).outside
    return (outside[:, :, None] == vectors).all(-1).float().mean((0, 1))


@pytest.mark.parametrize("baseline", ["none", "moving_average", "self_critical"])
def test_a_generator_left_alone_learns_to_draw_what_harms_most(baseline):
    shares = trained(300, baseline=baseline)
    assert shares[2] > 0.9 and shares[6] == 0


def test_the_entropy_term_keeps_it_broad():
    """The optimum with the weight w is softmax(harm / w): at 2 nearly uniform, though the most harmful leads still."""
    shares = trained(300, entropy=2.0)
    expected = torch.softmax(torch.tensor([0.5, 0.2, 1.0, 0.1, 0.8, 0.3]) / 2, 0)
    assert (shares[:6] - expected).abs().max() < 0.15 and shares[6] == 0


@pytest.mark.parametrize("every_steps", [1, 3])
def test_it_learns_once_in_every_so_many_steps_at_the_scheduled_rate(every_steps):
    negatives, vectors = prepared(5, every_steps=every_steps, schedule="cosine", lr=0.1), torch.randn(5, 3)
    forms = [torch.eye(3)]
    for number in range(7):
        negatives.choose(step(vectors, list(range(5)), draw=number))
        forms.append(negatives.state_dict()["other/form"].clone())
    changed = [not torch.equal(one, other) for one, other in pairwise(forms)]
    assert changed == [(number + 1) % every_steps == 0 for number in range(7)]
    expected = [0.05 * (1 + math.cos(math.pi * min(update * every_steps / 100, 1))) for update in (0, 10, 50, 1000)]
    assert [negatives.rate(update) for update in (0, 10, 50, 1000)] == pytest.approx(expected)
    assert Adversarial(lr=0.1).rate(50) == 0.1
