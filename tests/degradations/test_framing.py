"""Frames, and `render` against the plain sequence degrade, resize, crop, flip (SOLI, arXiv 2512.08873)."""

import random

import pytest
import torch
from torch.nn.functional import interpolate
from torchvision.transforms import v2

from soli.degradations import PAPER_CONDITIONS, Frame, Framing, parse, render
from soli.interfaces import SoliError

SIZES = [(75, 100), (100, 75), (75, 100), (300, 250), (64, 64), (333, 500), (120, 41)]


def draw(height, width, seed=0):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def sequence(image, degradation, frame):
    """Degrade, resize, crop, flip, one after the other."""
    small = degradation.batch([image.float() / 255], degradation.size(*image.shape[1:]))
    resized = interpolate(small, size=(frame.height, frame.width), mode="bilinear", antialias=True)[0]
    window = resized[:, frame.top : frame.top + frame.size, frame.left : frame.left + frame.size]
    return window.flip(-1) if frame.flip else window


@pytest.mark.parametrize("mode", ["matrix", "uint8_exact"])
@pytest.mark.parametrize("framing", [Framing(112, "crop"), Framing(96, "squash")])
def test_render_equals_the_sequence_of_its_stages(framing, mode):
    generator = random.Random(1)
    images = [draw(*size, seed) for seed, size in enumerate(SIZES)]
    conditions = ["original", "R0.5S1", "R0.2S50", "R0.1S50", "R0.5S1_GF500", "R0.5S1_JPEG30", "R0.2S1"]
    degradations = [parse(condition, mode) for condition in conditions]
    frames = [framing.frame(*size, generator) for size in SIZES]
    assert {frame.flip for frame in frames} == {True, False}
    result = render(images, degradations, frames)
    assert result.shape == (7, 3, framing.size, framing.size) and result.dtype == torch.float32
    for image, degradation, frame, view in zip(images, degradations, frames, result, strict=True):
        assert (view - sequence(image, degradation, frame)).abs().max() < 1e-4
        assert torch.allclose(render([image], [degradation], [frame])[0], view, atol=1e-6)


def test_the_order_of_a_batch_does_not_matter():
    images, degradations = [draw(*size) for size in SIZES], [parse(name) for name in PAPER_CONDITIONS[: len(SIZES)]]
    frames = [Framing(32).frame(*size, random.Random(0)) for size in SIZES]
    forward = render(images, degradations, frames)
    assert torch.allclose(render(images[::-1], degradations[::-1], frames[::-1]).flip(0), forward, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_centre_crop_is_torchvisions(size):
    image = draw(*size)
    ours = render([image], [parse("original")], [Framing(112).frame(*size)])[0]
    resize = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Resize(128, antialias=True), v2.CenterCrop(112)])
    assert (ours - resize(image)).abs().max() < 1e-4


def test_a_view_in_the_size_of_the_frame_is_the_photograph():
    image = draw(64, 64)
    assert torch.equal(render([image], [parse("original")], [Framing(64, "squash").frame(64, 64)])[0], image.float() / 255)
    part = render([image], [parse("original")], [Frame(64, 64, 10, 20, 32, flip=True)])[0]
    assert torch.equal(part, (image.float() / 255)[:, 10:42, 20:52].flip(-1))


@pytest.mark.parametrize("mode", ["crop", "squash"])
def test_all_views_of_a_photograph_see_the_same_window(mode):
    """A white square on black: its centre stays where it is in every condition, also in a copy that was shrunk to another aspect."""
    image = torch.zeros(3, 375, 500, dtype=torch.uint8)
    image[:, 160:240, 230:330] = 255
    generator = random.Random(3)
    for _ in range(4):
        frame = Framing(224, mode).frame(375, 500, generator)
        conditions = [parse(name) for name in PAPER_CONDITIONS]
        views = render([image] * 10, conditions, [frame] * 10)
        shrunk = torch.from_numpy(parse("R0.05S50")(image.permute(1, 2, 0).numpy())).permute(2, 0, 1)  # 18 x 25, not 18.75
        views = torch.cat([views, render([shrunk], [parse("original")], [frame])])
        centres = torch.stack([centre(view[0]) for view in views])
        assert (centres - centres[0]).abs().max() < 3  # a pixel of 18 x 25 covers 14
        other = Frame(frame.height, frame.width, frame.top, frame.left, frame.size, not frame.flip)
        mirrored = centre(render([image], conditions[:1], [other])[0, 0])
        assert mirrored[1] == pytest.approx(223 - centres[0, 1].item(), abs=0.01)


def centre(view):
    weights = view / view.sum()
    grid = torch.arange(len(view), dtype=torch.float32)
    return torch.stack([(weights.sum(1) * grid).sum(), (weights.sum(0) * grid).sum()])


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (224, 224), (1, 500), (3, 2)])
def test_frames_lie_within_the_resized_photograph(size):
    generator = random.Random(0)
    frames = [Framing(224).frame(*size, generator) for _ in range(300)]
    for frame in frames:
        assert min(frame.height, frame.width) == 256 and frame.size == 224
        assert 0 <= frame.top <= frame.height - 224 and 0 <= frame.left <= frame.width - 224
        assert abs(frame.width / frame.height - size[1] / size[0]) < 0.01 * size[1] / size[0]
    assert {0, 32} <= {frame.top for frame in frames} | {frame.left for frame in frames}  # the whole range is drawn from
    assert 100 < sum(frame.flip for frame in frames) < 200
    assert Framing(224).frame(*size).flip is False


def test_frames_depend_on_the_generator_alone():
    draws = [[Framing(224).frame(375, 500, random.Random(seed)) for seed in (1, 2, 1)] for _ in range(2)]
    assert draws[0] == draws[1] and draws[0][0] == draws[0][2] != draws[0][1]


@pytest.mark.parametrize("size", [(1, 500), (30, 3000), (1, 1)])
def test_extreme_shapes_render_in_little_memory(size):
    image, frame = draw(*size), Framing(224).frame(*size, random.Random(5))
    view = render([image], [parse("original")], [frame])[0]
    assert (view - sequence(image, parse("original"), frame)).abs().max() < 1e-4


def test_autocast_does_not_coarsen_the_views():
    image, frame = draw(90, 120), Framing(64).frame(90, 120)
    plain = render([image], [parse("R0.5S1")], [frame])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(render([image], [parse("R0.5S1")], [frame]), plain)


def test_mistakes_are_refused():
    with pytest.raises(SoliError, match="unknown framing 'pad'.*'crop', 'squash'"):
        Framing(224, "pad")
    with pytest.raises(SoliError, match="size of a frame is 0"):
        Framing(0)
    frame = Framing(32).frame(40, 40)
    with pytest.raises(SoliError, match="as many images as degradations and frames: 2, 1, 2"):
        render([draw(40, 40)] * 2, [parse("original")], [frame] * 2)
    with pytest.raises(SoliError, match="R0.05S1.* 12 x 40 "):
        render([draw(40, 12)], [parse("R0.05S1")], [frame])


@pytest.mark.cuda
def test_the_gpu_renders_what_the_cpu_renders():
    images, frames = [draw(*size) for size in SIZES], [Framing(112).frame(*size, random.Random(2)) for size in SIZES]
    degradations = [parse(name) for name in ["original", "R0.5S1", "R0.2S50", "R0.1S50", "R0.5S1_GF500", "R0.5S1_JPEG30", "R0.2S1"]]
    on_gpu = render(images, degradations, frames, device="cuda")
    assert on_gpu.is_cuda and (on_gpu.cpu() - render(images, degradations, frames)).abs().max() < 1e-5


def test_render_leaves_the_photographs_unchanged():
    image = draw(50, 60)
    before = image.clone()
    render([image] * 2, [parse("JPEG20"), parse("R0.5S1", "uint8_exact")], [Framing(32).frame(50, 60)] * 2)
    assert torch.equal(image, before)
