"""Views are a function of (seed, image, epoch, view): not of the order, the batch or the process."""

import torch

from soli.degradations import PAPER_CONDITIONS, Framing
from soli.training.views import View, draw_frames, draw_views, randomness

NAMES = [f"image{index}" for index in range(300)]
PAPER = View.parse(PAPER_CONDITIONS, "matrix", None)
CLEAN = View.parse(["original"], "matrix", None)


def specs(drawn):
    return [[degradation.spec for degradation in view] for view in drawn]


def test_conditions_do_not_depend_on_the_batch_they_are_drawn_in():
    together = draw_views([PAPER, PAPER], NAMES, seed=1, epoch=2)
    assert [view[::-1] for view in draw_views([PAPER, PAPER], NAMES[::-1], seed=1, epoch=2)] == together
    assert [view[:1] for view in together] == draw_views([PAPER, PAPER], NAMES[:1], seed=1, epoch=2)
    assert draw_views([PAPER, PAPER], NAMES, seed=1, epoch=3) != together
    assert draw_views([PAPER, PAPER], NAMES, seed=2, epoch=2) != together


def test_windows_do_not_depend_on_the_batch_and_are_mirrored_only_when_asked():
    images = [torch.zeros(3, 60 + index, 90) for index in range(20)]
    frames = draw_frames(images, NAMES, Framing(32), seed=1, epoch=2)
    assert draw_frames(images[::-1], NAMES[19::-1], Framing(32), seed=1, epoch=2)[::-1] == frames
    straight = draw_frames(images, NAMES, Framing(32), seed=1, epoch=2, flip=False)
    assert {frame.flip for frame in frames} == {True, False} and {frame.flip for frame in straight} == {False}
    assert [(frame.top, frame.left) for frame in frames] == [(frame.top, frame.left) for frame in straight]


def test_two_views_of_a_photograph_are_under_different_conditions():
    first, second = specs(draw_views([PAPER, PAPER], NAMES, 0, 0))
    assert all(here != there for here, there in zip(first, second, strict=True))
    assert set(first) == set(second) == set(PAPER_CONDITIONS)
    clean, degraded = specs(draw_views([CLEAN, PAPER], NAMES, 0, 0))
    assert set(clean) == {"original"} and set(degraded) == set(PAPER_CONDITIONS) - {"original"}


def test_views_of_one_condition_may_be_the_same():
    assert specs(draw_views([CLEAN, CLEAN], NAMES[:2], 0, 0)) == [["original"] * 2] * 2


def test_conditions_come_as_often_as_their_weights_say():
    view = View.parse({"original": 3, "R0.5S1": 1, "R0.2S1": 0}, "matrix", None)
    (drawn,) = specs(draw_views([view], [f"image{index}" for index in range(4000)], 0, 0))
    assert drawn.count("R0.2S1") == 0
    assert abs(drawn.count("original") / 4000 - 0.75) < 0.03  # four standard deviations


def test_randomness_is_the_same_in_every_process():
    assert randomness(0, "image", 1).getrandbits(32) == 989722613
