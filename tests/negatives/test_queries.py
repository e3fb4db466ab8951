"""What negatives are told by the contrastive and the matching term: harm, similarity and keys in both directions; and Eq. 5 of matching."""

import math
from random import Random

import pytest
import torch
from torch.nn import functional

from soli.losses import ContrastiveLoss, InfoNCELoss, TripletLoss
from soli.negatives import Adversarial, Clustered, InBatch
from soli.training.matching import Entries, Matching
from soli.training.settings import MatchingSettings
from soli.training.siamese import Siamese

OWNER, KEYS = [0, 0, 1, 2, 2, 2], [8, 9, 7]


class Recorder(InBatch):
    """All others of the step, and a list of what was asked."""

    symmetric = False

    def __init__(self):
        self.asked = []

    def choose(self, queries):
        self.asked.append(queries)
        return super().choose(queries)


def unit(*shape):
    return functional.normalize(torch.randn(*shape), dim=-1)


def entries(keys, places):
    return Entries(torch.tensor(keys), torch.tensor(places), [Random(place) for place in places])


def choose(term, images, captions):
    of_captions = entries([KEYS[place] for place in OWNER], [40, 41, 53, 60, 61, 62])
    return term.choose("clean", images, captions, torch.tensor(OWNER), entries(KEYS, [4, 5, 6]), of_captions)


@pytest.mark.parametrize("shape", [(4, 5), (4, 3, 5)], ids=["pooled", "per_token"])
def test_views_are_told_the_repulsion_of_candidates_from_their_own_side(shape):
    anchor, other = torch.randn(2, *shape)
    recorder = Recorder()
    Siamese(ContrastiveLoss(5.0), recorder).pairs(anchor, other, torch.arange(4), [Random(row) for row in range(4)], torch.arange(4) + 7)
    assert [asked.direction for asked in recorder.asked] == ["other", "anchor"]
    for asked, mine, theirs in zip(recorder.asked, (anchor, other), (other, anchor), strict=True):
        apart = (mine[:, None] - theirs[None]).square().sum(-1).sqrt()
        apart = apart if len(shape) == 2 else apart.mean(-1)
        assert torch.allclose(asked.similarity, -apart, atol=1e-5) and asked.places.tolist() == [7, 8, 9, 10]
        assert torch.equal(asked.queries, mine.flatten(1)) and torch.equal(asked.candidates, theirs.flatten(1))
        harm = asked.harm(theirs.flatten(1).expand(4, 4, -1))
        assert torch.allclose(harm, (5 - apart).clamp(min=0) ** 2, atol=1e-4) and harm.any()


@pytest.mark.parametrize("siblings", ["masked", "negatives"])
def test_matching_is_told_the_hinges_of_candidates_against_the_querys_own_pair(siblings):
    images, captions, recorder = unit(3, 4), unit(6, 4), Recorder()
    choose(Matching(TripletLoss(0.4), recorder, MatchingSettings(siblings=siblings)), images, captions)
    by_image, by_caption = recorder.asked
    assert by_image.direction != by_caption.direction
    own = (images[OWNER] * captions).sum(1)
    if siblings == "masked":  # a photograph is as near to its captions as they are on average
        of_images = torch.stack([own[:2].mean(), own[2], own[3:].mean()])
        keys, rows, places = KEYS, images, [4, 5, 6]
        assert by_caption.candidate_keys.tolist() == KEYS and by_caption.keys.tolist() == [KEYS[place] for place in OWNER]
    else:
        of_images, keys, rows, places = own, [40, 41, 53, 60, 61, 62], images[OWNER], [40, 41, 53, 60, 61, 62]
        assert by_caption.candidate_keys.tolist() == by_caption.keys.tolist() == keys
    assert by_image.keys.tolist() == keys and by_caption.places.tolist() == places and by_image.places.tolist() == [40, 41, 53, 60, 61, 62]
    assert torch.allclose(by_image.similarity, rows @ captions.T) and torch.equal(by_caption.similarity, by_image.similarity.T)
    candidates = unit(len(rows), 5, 4)
    expected = (0.4 - of_images[:, None] + (rows[:, None] * candidates).sum(-1)).clamp(min=0)
    assert torch.allclose(by_image.harm(candidates), expected, atol=1e-6) and expected.any()
    candidates = unit(6, 5, 4)
    expected = (0.4 - own[:, None] + (captions[:, None] * candidates).sum(-1)).clamp(min=0)
    assert torch.allclose(by_caption.harm(candidates), expected, atol=1e-6)


def cosine(one, other):
    one, other = one.tolist(), other.tolist()
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


@pytest.mark.parametrize("loss", [TripletLoss(0.5), InfoNCELoss(0.2)], ids=["triplet", "infonce"])
@pytest.mark.parametrize("siblings", ["masked", "negatives"])
def test_matching_adds_eq_5_of_each_caption_and_of_its_photograph(loss, siblings):
    negatives = Clustered(3, 2, virtual=1, false_negative_weight=0.3, margins=(0.5, 0.6))
    term = Matching(loss, negatives, MatchingSettings(siblings=siblings))
    for _ in range(2):
        images, captions = unit(3, 4), unit(6, 4)
        chosen = choose(term, images, captions)
    rows, owner = (images, OWNER) if siblings == "masked" else (images[OWNER], list(range(6)))
    total = 0.0
    for number, place in enumerate(owner):
        for x, positive, one, query in (
            (rows[place], captions[number], chosen[0], place),
            (captions[number], rows[place], chosen[1], number),
        ):
            nearest, second = (part[query] for part in one.clusters)
            total += max(cosine(nearest, x) - cosine(positive, x) + 0.5, 0.0) + max(cosine(second, x) - cosine(nearest, x) + 0.6, 0.0)
    plain = loss.of_matches(rows, captions, torch.tensor(owner), *chosen).item()
    assert term(images, captions, torch.tensor(OWNER), chosen).item() == pytest.approx(plain + 0.3 * total / 12, rel=1e-5)


@pytest.mark.parametrize("siblings", ["masked", "negatives"])
def test_matching_draws_no_caption_of_the_same_photograph_unless_siblings_are_negatives(siblings):
    images, captions = unit(3, 4), unit(6, 4)
    negatives = Adversarial(2, noise=1.0)
    term = Matching(TripletLoss(0.5), negatives, MatchingSettings(siblings=siblings))
    negatives.prepare(term.num_candidates(["clean"], 80, 80), 10)
    met = torch.zeros(6, 6, dtype=torch.bool)  # caption by the query's own caption
    for draw in range(40):
        of_captions = Entries(
            torch.tensor([KEYS[place] for place in OWNER]), torch.arange(6), [Random(f"{draw}/{row}") for row in range(6)]
        )
        of_images = Entries(torch.tensor(KEYS), torch.arange(3), [Random(f"{draw}/image {row}") for row in range(3)])
        by_image, _ = term.choose("clean", images, captions, torch.tensor(OWNER), of_images, of_captions)
        drawn = (by_image.outside[:, :, None] == captions).all(-1).any(1)  # (photographs or their copies, captions)
        met |= drawn[OWNER] if siblings == "masked" else drawn
    same = torch.tensor([[one == other for other in OWNER] for one in OWNER])
    assert torch.equal(met, ~same if siblings == "masked" else ~torch.eye(6, dtype=torch.bool))
