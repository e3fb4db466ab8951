"""The queues of clustered negatives: sequences worked out by hand, and random ones against slow plain Python."""

import math
from collections import deque
from random import Random

import pytest
import torch

from soli.negatives.clustered import Queues


def members(queues):
    """The keys of each queue, the oldest first."""
    found = []
    length = queues.vectors.shape[1]
    for keys, count, end in zip(queues.keys.tolist(), queues.counts.tolist(), queues.ends.tolist(), strict=True):
        found.append([keys[(end - count + place) % length] for place in range(count)])
    return found


def angles(*degrees):
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def add(queues, vectors, *keys):
    queues.add(vectors, torch.tensor(keys))


def test_openings_joins_and_losses_by_hand():
    """Three queues of two. All directions in degrees."""
    queues = Queues(3, 2, 2)
    assert members(queues) == [[], [], []]
    add(queues, angles(0), 10)
    assert members(queues) == [[10], [], []]
    add(queues, angles(5, 180), 11, 12)  # an empty queue is opened, however near the first one is
    assert members(queues) == [[10], [11], [12]]
    add(queues, angles(2, 3, 170), 13, 14, 15)
    assert members(queues) == [[10, 13], [11, 14], [12, 15]]  # centroids at 1, 4 and 175
    add(queues, angles(-20), 16)  # 10 is lost: at -9
    assert members(queues) == [[13, 16], [11, 14], [12, 15]]
    add(queues, angles(-1, 90, 93), 17, 18, 19)  # -1 is 5 from the second and 8 from the first; 90 is 86 from it and 85 from the third
    assert members(queues) == [[13, 16], [14, 17], [18, 19]]


def test_in_one_step_the_first_open_and_the_rest_joins_what_was_there_before_them():
    """The joining ones do not see each other: the last of them is nearer to what its neighbour would have made of the first queue."""
    queues = Queues(2, 4, 2)
    add(queues, angles(0, 90, 44, 46, 46.5), 1, 2, 3, 4, 5)
    assert members(queues) == [[1, 3], [2, 4, 5]]


def test_more_than_a_queue_holds_leaves_the_last_of_them():
    queues = Queues(2, 3, 2)
    add(queues, angles(0, 90, 1, 2, 91, 3, 4, 5), *range(8))
    assert members(queues) == [[5, 6, 7], [1, 4]]
    assert torch.allclose(queues.centroids(), torch.stack([angles(3, 4, 5).mean(0), angles(90, 91).mean(0)]))
    add(queues, angles(*range(7)), *range(20, 27))
    assert members(queues) == [[24, 25, 26], [1, 4]]


def test_the_centroid_is_the_mean_of_the_members_of_any_length():
    queues = Queues(2, 2, 2)
    add(queues, torch.tensor([[10.0, 0], [0, 1]]), 0, 1)
    add(queues, torch.tensor([[1.0, 1.2]]), 2)  # nearer to the short one by cosine
    add(queues, torch.tensor([[0.0, 7.0]]), 3)
    assert members(queues) == [[0], [2, 3]]
    assert torch.allclose(queues.centroids(), torch.tensor([[10, 0], [0.5, 4.1]]))
    assert torch.allclose(queues.likeness(torch.tensor([[0.0, 2.0]])), torch.tensor([[0.0, 4.1 / math.hypot(0.5, 4.1)]]))


def test_an_empty_queue_is_like_nothing():
    queues = Queues(3, 2, 2)
    add(queues, angles(180), 0)
    assert queues.likeness(angles(0, 90)).tolist()[0] == pytest.approx([-1, -math.inf, -math.inf])
    assert queues.filled().tolist() == [[True, False], [False, False], [False, False]]


def cosine(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


def add_slowly(queues, vectors, keys):
    """`queues`: a deque of (vector, key) each."""
    arrivals = list(zip(vectors.tolist(), keys, strict=True))
    for queue in queues:
        if not queue and arrivals:
            queue.append(arrivals.pop(0))
    centroids = [[sum(column) / len(queue) for column in zip(*(vector for vector, _ in queue))] for queue in queues]
    for vector, key in arrivals:
        likeness = [cosine(vector, centroid) for centroid in centroids]
        queues[likeness.index(max(likeness))].append((vector, key))


@pytest.mark.parametrize(("number", "length"), [(2, 1), (3, 4), (5, 2), (8, 6)])
@pytest.mark.parametrize("seed", range(3))
def test_random_sequences_are_those_of_slow_queues(number, length, seed):
    random, slow, queues = Random(seed), [deque(maxlen=length) for _ in range(number)], Queues(number, length, 3)
    torch.manual_seed(seed)
    for step in range(25):
        size = random.randint(1, 12)
        vectors, keys = torch.randn(size, 3), [100 * step + place for place in range(1, size + 1)]
        add(queues, vectors, *keys)
        add_slowly(slow, vectors, keys)
        assert members(queues) == [[key for _, key in queue] for queue in slow]
        for row, queue in enumerate(slow):
            held = {key: queues.vectors[row, place].tolist() for place, key in enumerate(queues.keys[row].tolist())}
            assert all(held[key] == vector for vector, key in queue)


def test_a_state_continues_with_the_same_members():
    first, again = Queues(4, 3, 5), Queues(4, 3, 5)
    for step in range(6):
        add(first, torch.randn(5, 5), *range(5 * step, 5 * step + 5))
    state = {name: value.clone() for name, value in first.state().items()}
    assert again.restore(state) is again
    vectors = torch.randn(9, 5)
    for queues in (first, again):
        add(queues, vectors, *range(100, 109))
    assert members(first) == members(again) and torch.equal(first.vectors, again.vectors)
    assert not torch.equal(state["keys"], again.keys)  # the state stays what it was
