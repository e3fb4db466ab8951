"""Sparse products against dense ones, and both against OpenCV's and PyTorch's resizes in floating point (SOLI, arXiv 2512.08873)."""

import random

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from soli.degradations import PAPER_CONDITIONS, Framing, parse, render, sampling, sparse
from soli.degradations.dense import axis_matrix
from soli.degradations.matrices import apply_plan, chain_matrix, sampling_matrix, view_matrix
from soli.degradations.sparse import BLOCK, FEW, axis_factors
from tests.degradations.test_against_opencv import shrink_in_steps

CONDITIONS = [*PAPER_CONDITIONS, "R0.5S3_GF2+R0.5S7_GF500", "R0.9S2", "JPEG30"]
SIZES = [(375, 500), (500, 375), (97, 96), (96, 96), (333, 500), (200, 41), (1, 9300), (101, 99), (375, 500), (610, 900)]


def draw(height, width, seed=0):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def both_ways(monkeypatch, function):
    """What `function` returns when all is sparse, and when all is dense."""
    results = []
    for small in (0, 10**9):
        monkeypatch.setattr(sampling, "SMALL", small)
        results.append(function())
    return results


@pytest.mark.parametrize("framing", [Framing(112, "crop"), Framing(224, "squash"), Framing(31, "crop"), Framing(300, "squash")])
def test_sparse_views_are_the_dense_ones_in_a_ragged_batch_of_all_conditions(monkeypatch, framing):
    sizes = [size for size in SIZES if min(size) > 40]
    images = [draw(*sizes[number % len(sizes)], number) for number in range(26)]
    degradations = [parse(CONDITIONS[number % len(CONDITIONS)]) for number in range(26)]
    generator = random.Random(0)
    frames = [framing.frame(*image.shape[1:], generator) for image in images]
    assert {frame.flip for frame in frames} == {True, False}
    sparse, dense = both_ways(monkeypatch, lambda: render(images, degradations, frames))
    assert sparse.shape == dense.shape and sparse.is_contiguous()
    assert (sparse - dense).abs().max() < 2e-6
    monkeypatch.setattr(sampling, "SMALL", 100 * 100)  # some this way, some that
    assert (render(images, degradations, frames) - dense).abs().max() < 2e-6


@pytest.mark.parametrize("antialias", [False, True])
def test_sparse_batches_of_floats_are_the_dense_ones(monkeypatch, antialias):
    images = [draw(*size, seed).float() / 255 for seed, size in enumerate(SIZES)]
    for size in [(64, 60), (17, 250)]:
        sparse, dense = both_ways(monkeypatch, lambda size=size: parse("R1S1_GF3").batch(images, size, antialias=antialias))
        assert (sparse - dense).abs().max() < 2e-6


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(20, 400), st.integers(1, 400), st.integers(1, 260), st.sampled_from(CONDITIONS[:-1]), st.booleans(), st.data())
def test_factors_are_the_matrix(side, width, target, condition, antialias, data):
    """From the left and from the right, whole and in any window."""
    plan, _ = parse(condition).plan(side, side)
    start = data.draw(st.integers(0, target - 1))
    stop = data.draw(st.integers(start + 1, target))
    exact = view_matrix(chain_matrix(side, plan), target, antialias)[start:stop]
    values = np.random.default_rng(0).random((side, width))
    from_left, from_right = torch.from_numpy(values).float(), torch.from_numpy(values.T.copy()).float()
    *others, last = axis_factors(side, plan, target, antialias)
    for factor in others:
        from_left, from_right = factor.multiply(from_left), factor.multiply_turned(from_right)
    from_left, from_right = last.multiply(from_left, start, stop), last.multiply_turned(from_right, start, stop)
    assert from_left.shape == (stop - start, width) and from_right.shape == (width, stop - start)
    assert np.abs(from_left.numpy() - exact @ values).max() < 3e-6
    assert np.abs(from_right.numpy().T - exact @ values).max() < 3e-6
    matrix = axis_matrix(side, plan, target, antialias, "cpu")
    matrix = torch.eye(side) if matrix is None else matrix
    assert np.abs(matrix[start:stop].numpy() - exact).max() < 1e-7


def test_a_chain_smaller_than_the_view_is_kept_apart():
    shapes = {condition: [tuple(factor.weights.shape) for factor in factors_of(condition)] for condition in CONDITIONS[:-1]}
    assert shapes["original"] == [(224, 5)] and shapes["R0.1S1"] == [(50, 2), (224, 2)]
    assert len(shapes["R0.5S50"]) == 1 and shapes["R0.5S50"][0][1] > FEW
    assert shapes["R0.5S1_GF500"] == [(224, 20)]
    assert {factor.block for condition in CONDITIONS[:-1] for factor in factors_of(condition)} >= set(BLOCK)
    assert len(axis_factors(150, (), 224, True)) == 1  # what is not degraded is only resized


@pytest.mark.parametrize(("condition", "width", "expected"), [("R0.2S50", 1500, "mm"), ("R0.2S50", 100, "bag"), ("R0.2S1", 1500, "bag")])
def test_few_weights_are_gathered_and_many_multiplied_in_blocks(monkeypatch, condition, width, expected):
    called = []
    monkeypatch.setattr(sparse, "embedding_bag", lambda *given, **named: called.append("bag"))
    monkeypatch.setattr(torch, "mm", lambda *given, **named: called.append("mm"))
    factors_of(condition)[0].multiply(torch.zeros(500, width))
    assert set(called) == {expected}


def test_photographs_of_one_size_and_condition_share_one_matrix():
    axis = sampling.Axis(parse("R0.5S3").plan(60, 60)[0], 32, 0, 32)
    assert sampling._matrix(60, axis, True, "cpu") is sampling._matrix(60, axis, True, "cpu")


def factors_of(condition):
    degradation = parse(condition)
    return axis_factors(500, degradation.plan(375, 500)[1], 224, True)


@pytest.mark.parametrize("condition", PAPER_CONDITIONS)
def test_views_of_real_photographs_are_opencvs_steps_in_floating_point(native_root, condition):
    degradation = parse(condition)
    for path in sorted(native_root.glob("*.jpg"))[::6]:
        photograph = cv2.imread(str(path))[:, :, ::-1].copy()
        exact = photograph.astype(np.float32) / 255
        exact = cv2.GaussianBlur(exact, (15, 15), 500) if "GF" in condition else exact
        if condition != "original":
            ratio, steps = condition[1:].removesuffix("_GF500").split("S")
            exact = shrink_in_steps(exact, float(ratio), int(steps))
        exact = interpolate(torch.from_numpy(exact).permute(2, 0, 1)[None], size=(224, 224), mode="bilinear", antialias=True)[0]
        image = torch.from_numpy(photograph.transpose(2, 0, 1).copy())
        view = render([image], [degradation], [Framing(224, "squash").frame(*image.shape[1:])])[0]
        assert (view - exact).abs().max() < 1e-4


def test_the_matrix_of_a_chain_is_its_steps():
    for condition in CONDITIONS[:-1]:
        plan, _ = parse(condition).plan(120, 120)
        values = np.random.default_rng(0).random((120, 3))
        assert np.abs(chain_matrix(120, plan) @ values - apply_plan(values, plan)).max() < 1e-12
    assert np.abs(sampling_matrix(50, 20, True).sum(1) - 1).max() < 1e-12


def test_gradients_of_large_photographs_flow():
    image, other = (draw(200, 300).float() / 255).requires_grad_(), draw(300, 200).float() / 255
    views = parse("R0.5S1_GF500").batch([image, other], (64, 64))
    views.sum().backward()
    assert image.grad.sum().item() == pytest.approx(3 * 64 * 64, rel=1e-4)
    assert (views - parse("R0.5S1_GF500").batch([image.detach(), other], (64, 64))).abs().max() < 2e-6


def test_sparse_products_stay_exact_under_autocast():
    image, frame = draw(300, 400), Framing(224).frame(300, 400)
    plain = render([image], [parse("R0.2S50")], [frame])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(render([image], [parse("R0.2S50")], [frame]), plain)
