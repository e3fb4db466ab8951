"""OpenCV as oracle for resizes and blurs, on native photographs (SOLI, arXiv 2512.08873)."""

import cv2
import numpy as np
import pytest

from soli.degradations import parse

EXACT_SIZES = {"0.5": (187, 250), "0.2": (75, 100), "0.1": (37, 50), "0.05": (18, 25)}


@pytest.fixture(scope="module")
def photographs(native_root):
    paths = sorted(native_root.glob("*.jpg"))
    assert len(paths) == 44
    return [cv2.imread(str(path))[:, :, ::-1].copy() for path in paths]


def shrink_in_steps(image, ratio, steps):
    """Algorithm 1 with OpenCV's uint8 resizes: the sizes are worked out here, independently of the library."""
    height, width = image.shape[:2]
    targets = [side * round(ratio * 100) // 100 for side in (height, width)]
    for step in range(1, steps + 1):
        sides = [max(target, round(side * ratio ** (step / steps))) for side, target in zip((height, width), targets, strict=True)]
        image = cv2.resize(image, (sides if step < steps else targets)[::-1], interpolation=cv2.INTER_LINEAR)
    return image


def difference(ours, theirs):
    return ours.astype(int) - theirs.astype(int)


@pytest.mark.parametrize("ratio", EXACT_SIZES)
def test_one_step_is_within_one_grey_level_on_every_photograph(photographs, ratio):
    for photograph in photographs:
        height, width = photograph.shape[:2]
        theirs = shrink_in_steps(photograph, float(ratio), 1)
        assert parse(f"R{ratio}S1").size(height, width) == theirs.shape[:2]
        assert np.abs(difference(parse(f"R{ratio}S1")(photograph), theirs)).max() <= 1
        assert np.array_equal(parse(f"R{ratio}S1", mode="uint8_exact")(photograph), theirs)


@pytest.mark.parametrize("ratio", EXACT_SIZES)
@pytest.mark.parametrize("steps", [1, 50])
@pytest.mark.parametrize("mode", ["matrix", "uint8_exact"])
def test_sizes_are_the_floor_of_each_side(ratio, steps, mode):
    degradation = parse(f"R{ratio}S{steps}", mode)
    assert degradation.size(375, 500) == EXACT_SIZES[ratio]
    assert degradation(np.zeros((375, 500, 3), np.uint8)).shape[:2] == EXACT_SIZES[ratio]


@pytest.mark.parametrize("ratio", EXACT_SIZES)
def test_uint8_exact_is_fifty_opencv_resizes_to_the_bit(photographs, ratio):
    """Asked for: within 3 grey levels, mean difference under 0.1. Found: no difference at all."""
    for photograph in photographs[::8]:
        ours, theirs = parse(f"R{ratio}S50", mode="uint8_exact")(photograph), shrink_in_steps(photograph, float(ratio), 50)
        error = difference(ours, theirs)
        assert np.abs(error).max() <= 3 and abs(error.mean()) < 0.1
        assert np.array_equal(ours, theirs)


def test_fifty_uint8_steps_darken_by_five_to_six_grey_levels_and_the_matrix_does_not(photographs):
    darkening, drift = [], []
    for photograph in photographs[::8]:
        exact, matrix = parse("R0.2S50", mode="uint8_exact")(photograph), parse("R0.2S50")(photograph)
        darkening.append(difference(matrix, exact).mean())
        drift.append(matrix.mean() - photograph.mean())
        assert difference(matrix, exact).max() <= 20
    assert 5 <= np.mean(darkening) <= 6.5
    assert np.abs(drift).max() < 1.5


@pytest.mark.parametrize("grey", [0, 1, 100, 254, 255])
def test_uniform_areas_keep_their_grey_in_both_modes(grey):
    """What a truncated sum of four times the value loses is less than the 2 that is added before the last shift."""
    image = np.full((123, 160, 3), grey, np.uint8)
    for mode in ("matrix", "uint8_exact"):
        assert set(np.unique(parse("R0.1S50", mode)(image))) == {grey}


@pytest.mark.parametrize("sigma", ["500", "1.5", "3"])
def test_the_blur_is_opencvs(photographs, sigma):
    for photograph in photographs[::8]:
        theirs = cv2.GaussianBlur(photograph, (15, 15), float(sigma))
        assert np.abs(difference(parse(f"GF{sigma}")(photograph), theirs)).max() <= 1
        assert np.array_equal(parse(f"GF{sigma}", mode="uint8_exact")(photograph), theirs)


def test_the_blur_comes_before_the_resize(photographs):
    photograph = photographs[0]
    blurred = cv2.GaussianBlur(photograph, (15, 15), 500)
    theirs = shrink_in_steps(blurred, 0.5, 1)
    assert np.array_equal(parse("R0.5S1_GF500", mode="uint8_exact")(photograph), theirs)
    assert np.abs(difference(parse("R0.5S1_GF500")(photograph), theirs)).max() <= 1
    assert np.array_equal(parse("R1S1_GF500", mode="uint8_exact")(photograph), blurred)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 5), (8, 3), (16, 16), (17, 40)])
def test_blurs_and_resizes_of_tiny_images(shape):
    """Reflections of reflections at the border, halving exactly, one-pixel sides."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    theirs = cv2.GaussianBlur(image, (15, 15), 500)
    assert np.abs(difference(parse("GF500")(image), theirs)).max() <= 1
    assert np.array_equal(parse("GF500", mode="uint8_exact")(image), theirs)
    if min(shape) >= 2:
        theirs = cv2.resize(image, (shape[1] // 2, shape[0] // 2), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(parse("R0.5S1", mode="uint8_exact")(image), theirs)
        assert np.abs(difference(parse("R0.5S1")(image), theirs)).max() <= 1
