"""The generator's draws by counting (Eq. 12), and its REINFORCE estimate against the exact gradient by autograd through the softmax."""

import math
from random import Random

import pytest
import torch
from torch.nn.functional import cosine_similarity

from soli.interfaces import Queries
from soli.negatives import Adversarial
from soli.negatives.generator import draw, reinforce

NUM = 100_000
SCORES = torch.tensor([0.3, -0.7, 1.2, 0.0, -0.2, 0.9, 0.5, 2.5], dtype=torch.float64)
REWARDS = torch.tensor([0.1, 1.5, 0.4, 2.0, 0.0, 0.7, 9.0, -9.0], dtype=torch.float64)
ALLOWED = torch.tensor([True] * 6 + [False] * 2)  # six candidates; the best and the worst are masked
EXACT_TO = 0.02


class Fixed:
    """A generator that says what it was given."""

    def __init__(self, *numbers):
        self.numbers = iter(numbers)

    def random(self):
        return next(self.numbers)


def relative(estimate, exact):
    return ((estimate - exact).norm() / exact.norm()).item()


def exact_gradient(parameter, distributions, rewards, entropy):
    """Of the mean over queries of the expected reward, plus `entropy` times the entropy."""
    objective = sum((p * reward).sum() - entropy * (p * p.log()).sum() for p, reward in zip(distributions, rewards, strict=True))
    return torch.autograd.grad(objective / len(rewards), parameter)[0]


@pytest.mark.parametrize("entropy", [0.0, 0.5])
@pytest.mark.parametrize(("samples", "noise"), [(1, 0.0), (1, 0.3)])
@pytest.mark.parametrize("baseline", ["none", "constant", "greedy"])
def test_the_mean_estimate_over_100000_draws_is_the_gradient_of_the_expected_reward(baseline, samples, noise, entropy):
    """Draws of the noise carry no gradient: of the mixture's expected reward the generator's share, 1 - noise, is left."""
    scores = SCORES.clone().requires_grad_()
    exact = exact_gradient(scores, [scores[ALLOWED].softmax(0)], [(1 - noise) * REWARDS[ALLOWED]], entropy)
    log_shares = scores.masked_fill(~ALLOWED, -torch.inf).log_softmax(0)
    allowed = ALLOWED.expand(NUM, 8)
    drawn, by_generator = draw(log_shares.exp().detach().expand(NUM, 8), allowed, samples, noise, [Random(1)] * NUM)
    base = {"none": 0.0, "constant": 0.6, "greedy": REWARDS[log_shares.argmax()]}[baseline]
    estimate = torch.autograd.grad(-reinforce(log_shares.expand(NUM, 8), drawn, REWARDS[drawn] - base, by_generator, entropy), scores)[0]
    assert relative(estimate, exact) < EXACT_TO
    assert estimate[~ALLOWED].tolist() == [0, 0]


def test_several_own_draws_of_a_query_count_their_mean_and_a_query_without_any_nothing():
    """Of three draws k are the generator's with k/3 each; only where none is, with probability noise^3, is the estimate 0."""
    scores, noise = SCORES.clone().requires_grad_(), 0.6
    exact = exact_gradient(scores, [scores[ALLOWED].softmax(0)], [REWARDS[ALLOWED]], 0.0)
    log_shares = scores.masked_fill(~ALLOWED, -torch.inf).log_softmax(0)
    drawn, by_generator = draw(log_shares.exp().detach().expand(NUM, 8), ALLOWED.expand(NUM, 8), 3, noise, [Random(2)] * NUM)
    estimate = torch.autograd.grad(-reinforce(log_shares.expand(NUM, 8), drawn, REWARDS[drawn] - 0.7, by_generator), scores)[0]
    assert relative(estimate, (1 - noise**3) * exact) < EXACT_TO


@pytest.mark.parametrize("baseline", ["none", "moving_average", "self_critical"])
@pytest.mark.parametrize("entropy", [0.0, 0.3])
def test_what_the_generators_matrix_learns_from_is_the_gradient_of_the_expected_harm(baseline, entropy):
    """Two queries, asked 50,000 times each, and seven candidates, one of them of the queries' own photograph."""
    queries, candidates, temperature = torch.randn(2, 3), torch.randn(7, 3), 0.8
    asked = queries.repeat(NUM // 2, 1)
    negatives = Adversarial(1, 0.0, baseline, entropy, temperature, in_step="none", lr=0.0)
    negatives.prepare({"other": 7}, 10)

    def harm(drawn):
        return 0.2 + (-cosine_similarity(asked[:, None], drawn, dim=-1)).relu()

    keys = torch.zeros(NUM, dtype=torch.long), torch.arange(7)
    given = Queries("other", *keys, [Random(3)] * NUM, asked, candidates, torch.zeros(NUM, 7), harm, torch.arange(7))
    for _ in range(2 if baseline == "moving_average" else 1):  # which has a value then; the rate is 0: the generator stays as it was
        negatives.choose(given)
    form = torch.eye(3, requires_grad=True)
    units = candidates[1:] / candidates[1:].norm(dim=1, keepdim=True)
    shares = [torch.softmax(query / query.norm() @ form @ units.T / temperature, 0) for query in queries]
    rewards = [0.2 + (-units @ query / query.norm()).relu() for query in queries]
    exact = exact_gradient(form, shares, rewards, entropy)
    assert relative(-negatives._generators["other"].form.grad, exact) < EXACT_TO


@pytest.mark.parametrize("noise", [0.0, 0.4, 1.0])
def test_draws_follow_the_mixture_of_eq_12(noise):
    """Chi-square with five degrees, 1 in 10,000; the shares of what the generator drew too."""
    shares = (SCORES * ALLOWED).masked_fill(~ALLOWED, -torch.inf).softmax(0)
    drawn, by_generator = draw(shares[None], ALLOWED[None], NUM, noise, [Random(4)])
    mixture = noise / 6 + (1 - noise) * shares[:6]
    counts, expected = drawn.flatten().bincount(minlength=8), NUM * mixture
    assert counts.sum() == NUM and not counts[6:].any()
    assert ((counts[:6] - expected) ** 2 / expected).sum() < 25.7
    assert abs(by_generator.float().mean().item() - (1 - noise)) <= 4 * math.sqrt(noise * (1 - noise) / NUM)
    own = drawn[by_generator].bincount(minlength=8)[:6]
    expected = own.sum() * shares[:6]
    assert noise == 1 or ((own - expected) ** 2 / expected).sum() < 25.7


NUMBERS = [0.0, 5e-324, 1e-300, 2**-53, 0.25, 0.5, 1 - 1e-9, 1 - 2**-53, 1.0]  # the last is what rounding might make of them


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_what_is_masked_is_never_drawn_by_extreme_shares_and_numbers(scale):
    """Also where the first and the last candidates are masked, or have no share that a float can hold; coins of 0 are the noise's."""
    for _ in range(8):
        allowed = torch.rand(40, 12) < 0.3
        allowed[:, 5] |= ~allowed.any(1)
        scores = scale * torch.randn(40, 12)
        shares = scores.masked_fill(~allowed, -torch.inf).softmax(1)
        for number in NUMBERS:
            for coin in (0.0, 0.9):
                drawn, by_generator = draw(shares, allowed, 1, 0.5, [Fixed(coin, number) for _ in range(40)])
                assert allowed.gather(1, drawn).all() and by_generator.all() == (coin >= 0.5)
                assert coin == 0 or (shares.gather(1, drawn) > 0).all()


def test_what_is_not_allowed_is_not_drawn_even_if_it_has_a_share():
    drawn, _ = draw(torch.tensor([[0.9, 0.05, 0.05]]), torch.tensor([[False, True, True]]), 1000, 0.3, [Random(5)])
    assert drawn.unique().tolist() == [1, 2]


def test_numbers_fall_on_the_cumulated_shares():
    shares, allowed = torch.tensor([[0.25, 0.0, 0.5, 0.25]]), torch.tensor([[True, True, True, True]])
    numbers = {0.0: 0, 0.2499: 0, 0.25: 2, 0.7499: 2, 0.75: 3, 0.9999: 3}
    for number, place in numbers.items():
        assert draw(shares, allowed, 1, 0.0, [Fixed(0.5, number)])[0].item() == place


def test_a_querys_generator_alone_decides_its_draws():
    shares, allowed = torch.rand(6, 9), torch.ones(6, 9, dtype=torch.bool)
    drawn, by_generator = draw(shares, allowed, 50, 0.5, [Random(row) for row in range(6)])
    for rows in ([4], [5, 0, 3], list(range(6))):
        again = draw(shares[rows], allowed[rows], 50, 0.5, [Random(row) for row in rows])
        assert torch.equal(again[0], drawn[rows]) and torch.equal(again[1], by_generator[rows])
    other = draw(shares, allowed, 50, 0.5, [Random(row if row else "another") for row in range(6)])[0]
    assert (other != drawn).any(1).tolist() == [True] + [False] * 5


def test_the_estimate_is_a_loop_over_queries_and_their_own_draws():
    scores = torch.randn(4, 6, dtype=torch.float64)
    log_shares = scores.masked_fill(torch.tensor([[False] * 5 + [True]]), -torch.inf).log_softmax(1)
    drawn, advantage, by_generator = torch.randint(5, (4, 3)), torch.randn(4, 3), torch.rand(4, 3) < 0.5
    by_generator[0] = False
    total = 0.0
    for q in range(4):
        own = [advantage[q, r].item() * log_shares[q, drawn[q, r]].item() for r in range(3) if by_generator[q, r]]
        entropy = -sum(math.exp(log_share) * log_share for log_share in log_shares[q, :5].tolist())
        total += (sum(own) / len(own) if own else 0.0) + 0.2 * entropy
    assert reinforce(log_shares, drawn, advantage, by_generator, 0.2).item() == pytest.approx(-total / 4)
