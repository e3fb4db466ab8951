"""Views are a function of (seed, image, epoch, view): not of the order, the batch or the process."""

import torch

from soli.degradations import PAPER_CONDITIONS, Framing, parse
from soli.training.views import draw_views, randomness


def test_views_do_not_depend_on_the_batch_they_come_in():
    images, names = [torch.zeros(3, 60 + index, 90) for index in range(8)], [f"image{index}" for index in range(8)]
    conditions, framing = [parse(name) for name in PAPER_CONDITIONS], Framing(32)
    together = draw_views(images, names, conditions, framing, seed=1, epoch=2)
    reverse = draw_views(images[::-1], names[::-1], conditions, framing, seed=1, epoch=2)
    assert [part[::-1] for part in reverse] == list(together)
    assert draw_views(images, names, conditions, framing, seed=1, epoch=3) != together
    assert draw_views(images, names, conditions, framing, seed=2, epoch=2) != together


def test_two_views_share_the_window_and_draw_their_own_conditions():
    images, names = [torch.zeros(3, 60, 90)] * 30, [f"image{index}" for index in range(30)]
    conditions, framing = [parse(name) for name in PAPER_CONDITIONS], Framing(32)
    first, second = (draw_views(images, names, conditions, framing, 0, 0, view) for view in (0, 1))
    assert first[1] == second[1] and first[0] != second[0]
    assert len({degradation.spec for degradation in first[0]}) > 5


def test_without_flips_nothing_else_changes():
    images, names = [torch.zeros(3, 60, 90)] * 20, [f"image{index}" for index in range(20)]
    (_, flipped), (_, straight) = (draw_views(images, names, [parse("original")], Framing(32), 0, 0, flip=flip) for flip in (True, False))
    assert {frame.flip for frame in flipped} == {True, False} and {frame.flip for frame in straight} == {False}
    assert [(frame.top, frame.left) for frame in flipped] == [(frame.top, frame.left) for frame in straight]


def test_randomness_is_the_same_in_every_process():
    assert randomness(0, "image", 1).getrandbits(32) == 989722613
