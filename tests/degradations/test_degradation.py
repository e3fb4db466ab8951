"""Degradation: matrices against a chain written by hand, batches, reference_side, JPEG, errors (SOLI, arXiv 2512.08873)."""

import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate

from soli.degradations import PAPER_CONDITIONS, parse
from soli.interfaces import SoliError


def draw(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1).double() / 255


def bilinear_by_hand(values, target):
    """Half-pixel centres, pixel by pixel, along the first axis."""
    result = np.zeros((target, *values.shape[1:]))
    for index in range(target):
        position = min(max((index + 0.5) * len(values) / target - 0.5, 0), len(values) - 1)
        first = int(position)
        second = min(first + 1, len(values) - 1)
        result[index] = (1 - (position - first)) * values[first] + (position - first) * values[second]
    return result


def box_by_hand(values, sigma=500.0):
    """15 taps along the first axis, borders mirrored without the edge."""
    weights = np.array([np.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-7, 8)])
    padded = np.pad(values, [(7, 7)] + [(0, 0)] * (values.ndim - 1), mode="reflect")
    return sum(weight * padded[start : start + len(values)] for start, weight in enumerate(weights / weights.sum()))


def both_axes(function, values, *targets):
    targets = targets or ((), ())
    rows = function(values, *targets[0])
    return function(rows.swapaxes(0, 1), *targets[1]).swapaxes(0, 1)


def chain_by_hand(values, ratio, steps, blur=False):
    """(H, W, 3) float64 through blur and Algorithm 1."""
    values = both_axes(box_by_hand, values) if blur else values
    sides = values.shape[:2]
    targets = [side * round(ratio * 100) // 100 for side in sides]
    for step in range(1, steps + 1):
        now = [max(target, round(side * ratio ** (step / steps))) for side, target in zip(sides, targets, strict=True)]
        now = now if step < steps else targets
        values = both_axes(bilinear_by_hand, values, (now[0],), (now[1],))
    return values


@pytest.mark.parametrize(
    ("spec", "ratio", "steps", "blur"),
    [("R0.5S1", 0.5, 1, False), ("R0.2S50", 0.2, 50, False), ("R0.05S50", 0.05, 50, False), ("R0.5S1_GF500", 0.5, 1, True)],
)
def test_the_matrices_are_the_chain_in_float64(spec, ratio, steps, blur):
    image = draw(121, 160)
    by_hand = chain_by_hand(image / 255, ratio, steps, blur)
    degradation = parse(spec)
    batch = degradation.batch(to_tensor(image)[None], by_hand.shape[:2])[0].permute(1, 2, 0).numpy()
    assert np.abs(batch - by_hand).max() < 1e-5
    assert np.abs(degradation(image) - 255 * by_hand).max() <= 0.5 + 1e-3  # rounded to nearest
    enlarged = both_axes(bilinear_by_hand, by_hand, (90,), (96,))
    assert np.abs(degradation.batch(to_tensor(image)[None], (90, 96))[0].permute(1, 2, 0).numpy() - enlarged).max() < 1e-4


@pytest.mark.parametrize("mode", ["matrix", "uint8_exact"])
@pytest.mark.parametrize("spec", [*PAPER_CONDITIONS, "JPEG20", "R0.5S1_JPEG30", "R0.5S1_GF3_JPEG30+R0.5S3"])
def test_batch_equals_single(spec, mode):
    image = draw(120, 161)
    degradation = parse(spec, mode)
    single = degradation(image)
    assert single.shape == (*degradation.size(120, 161), 3) and single.dtype == np.uint8
    batch = degradation.batch(torch.stack([to_tensor(image)] * 2), single.shape[:2])
    assert batch.dtype == torch.float32 and torch.allclose(batch[0], batch[1], atol=1e-6)
    error = np.abs(batch[0].permute(1, 2, 0).numpy() * 255 - single).max()
    assert error < (0.501 if mode == "matrix" else 1e-3)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("spec", ["original", "R0.5S50", "R0.5S1_JPEG30"])
@pytest.mark.parametrize("size", [(64, 60), (24, 21)])
def test_a_ragged_batch_equals_one_by_one_and_the_plain_sequence(spec, size, antialias):
    images = [to_tensor(draw(*shape, seed)).float() for seed, shape in enumerate([(80, 100), (100, 80), (64, 64), (80, 100), (41, 99)])]
    degradation = parse(spec)
    batch = degradation.batch(images, size, antialias=antialias)
    assert batch.shape == (5, 3, *size)
    for image, result in zip(images, batch, strict=True):
        assert torch.allclose(degradation.batch(image[None], size, antialias=antialias)[0], result, atol=1e-6)
        small = degradation.batch([image], degradation.size(*image.shape[1:]))
        plain = interpolate(small, size=size, mode="bilinear", antialias=antialias)[0]
        assert (result - plain).abs().max() < 1e-4


def test_original_at_its_own_size_changes_nothing():
    image = to_tensor(draw(40, 50)).float()
    assert torch.equal(parse("original").batch([image], (40, 50))[0], image)
    assert np.array_equal(parse("R1S50")(draw(40, 50)), draw(40, 50))


def test_gradients_flow_through_the_matrices():
    image = to_tensor(draw(40, 50)).float()[None].requires_grad_()
    parse("R0.5S3_GF2").batch(image, (30, 30)).sum().backward()
    assert image.grad.sum().item() == pytest.approx(3 * 30 * 30, rel=1e-4)  # every output is a weighted mean


def test_pil_in_pil_out():
    image = draw(60, 90)
    result = parse("R0.5S1")(Image.fromarray(image))
    assert isinstance(result, Image.Image) and result.size == (45, 30)
    assert np.array_equal(np.asarray(result), parse("R0.5S1")(image))
    assert parse("R0.5S1")(Image.fromarray(image).convert("L")).mode == "RGB"


def pillow_jpeg(image, quality):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.mark.parametrize("mode", ["matrix", "uint8_exact"])
def test_jpeg_is_pillows_round_trip_after_the_resize(mode):
    image = np.asarray(Image.fromarray(draw(12, 15)).resize((150, 120)))
    assert np.array_equal(parse("JPEG20", mode)(image), pillow_jpeg(image, 20))
    assert np.array_equal(parse("R0.5S1_JPEG30", mode)(image), pillow_jpeg(parse("R0.5S1", mode)(image), 30))
    assert not np.array_equal(parse("JPEG20", mode)(image), parse("JPEG50", mode)(image))
    twice = parse("R0.5S1", mode)(pillow_jpeg(image, 50))
    assert np.array_equal(parse("JPEG50+R0.5S1", mode)(image), twice)


@pytest.mark.parametrize(
    ("spec", "copy", "expected"),
    [
        ("R0.1S50", (168, 224), (37, 50)),  # of 375 x 500
        ("R0.1S1", (224, 224), (50, 50)),
        ("R0.5S1", (168, 224), (168, 224)),  # 187 x 250 would be larger than what is there
        ("R0.2S1", (375, 500), (75, 100)),
        ("R0.5S1+R0.2S1", (168, 224), (37, 50)),
        ("original", (168, 224), (168, 224)),
    ],
)
def test_reference_side_counts_in_pixels_of_the_original(spec, copy, expected):
    for mode in ("matrix", "uint8_exact"):
        degradation = parse(spec, mode, reference_side=500)
        assert degradation.size(*copy) == expected
        assert degradation(draw(*copy)).shape[:2] == expected


def test_reference_side_shrinks_the_kernel():
    image = draw(168, 224)
    result = parse("GF500", reference_side=500)(image)  # 15 * 224 / 500 = 6.7 pixels: 7
    padded = np.pad(image.astype(float), [(3, 3), (3, 3), (0, 0)], mode="reflect")
    box = sum(padded[top : top + 168, left : left + 224] for top in range(7) for left in range(7)) / 49
    assert np.abs(result - box).max() <= 1
    assert np.array_equal(parse("GF500", reference_side=100_000)(image), image)  # one pixel wide
    assert np.array_equal(parse("GF500", reference_side=224)(image), parse("GF500")(image))


def test_reference_side_shrinks_sigma_with_the_kernel():
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    result = parse("GF2", reference_side=82)(point)  # half the size: sigma 1, 7 pixels wide
    weights = np.exp(-(np.arange(-3, 4) ** 2) / 2)
    expected = 255 * np.outer(weights, weights) / weights.sum() ** 2
    assert np.abs(result[17:24, 17:24, 0] - expected).max() <= 0.51
    assert result[:17].max() == 0


def test_a_reference_side_of_the_photographs_own_changes_nothing():
    image = draw(150, 200)
    for spec in PAPER_CONDITIONS:
        assert np.array_equal(parse(spec, reference_side=200)(image), parse(spec)(image))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 100), st.integers(1, 60))
def test_sizes_are_exact_floors_that_never_grow(height, width, percent, steps):
    degradation = parse(f"R{percent / 100:.2f}S{steps}")
    expected = (height * percent // 100, width * percent // 100)
    if min(expected) < 1:
        with pytest.raises(SoliError, match=f"condition '{degradation.spec}' would leave less than one pixel.* {width} x {height} "):
            degradation.size(height, width)
    else:
        assert degradation.size(height, width) == expected
        for plan, side in zip(degradation.plan(height, width), (height, width), strict=True):
            sizes = (side, *plan[0].sizes)
            assert len(sizes) == steps + 1 and all(before >= after for before, after in pairwise(sizes))


@pytest.mark.parametrize("mode", ["matrix", "uint8_exact"])
def test_less_than_one_pixel_is_refused_everywhere(mode):
    degradation = parse("R0.05S50", mode)
    for attempt in (lambda: degradation(draw(19, 300)), lambda: degradation.batch([torch.zeros(3, 19, 300)], (8, 8))):
        with pytest.raises(SoliError, match="condition 'R0.05S50' would leave less than one pixel of a photograph of 300 x 19 pixels"):
            attempt()


def test_what_is_no_photograph_is_refused():
    for image in (np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((5, 5, 4), np.uint8), torch.zeros(3, 5, 5), "a.jpg"):
        with pytest.raises(SoliError, match=r"PIL image or a uint8 array \(H, W, 3\)"):
            parse("original")(image)
    for images in (
        [],
        torch.zeros(2, 3, 5, 5, dtype=torch.uint8),
        torch.zeros(3, 5, 5),
        None,
        [np.zeros((5, 5, 3), np.uint8)],
        [Image.new("RGB", (5, 5))],
    ):
        with pytest.raises(SoliError, match="float images"):
            parse("original").batch(images, (8, 8))


@pytest.mark.parametrize("spec", ["R0.5S2", "R0.05S50", "R0.2S1_GF500"])
def test_long_photographs_need_no_large_matrix(spec):
    """Degraded step by step: equal to the same columns of a photograph short enough for a matrix, away from the cut."""
    long = np.tile(draw(40, 100), (1, 30, 1))
    whole, short = parse(spec)(long), parse(spec)(long[:, :2000])
    compared = round(short.shape[1] * 0.9)
    assert whole.shape[:2] == parse(spec).size(*long.shape[:2])
    assert np.abs(whole[:, :compared].astype(int) - short[:, :compared].astype(int)).max() <= 1


@pytest.mark.cuda
@pytest.mark.parametrize("spec", [*PAPER_CONDITIONS, "R0.5S1_JPEG30"])
def test_the_gpu_agrees_with_the_cpu(spec):
    images = [to_tensor(draw(*size)).float() for size in [(150, 200), (200, 150), (150, 200)]]
    degradation = parse(spec)
    on_gpu = degradation.batch([image.cuda() for image in images], (64, 64))
    assert (on_gpu.cpu() - degradation.batch(images, (64, 64))).abs().max() < 1e-5
