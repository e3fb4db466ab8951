"""The toy data: the same pictures everywhere, true captions in a small vocabulary, and detail that low resolution destroys."""

from __future__ import annotations

import pickle
import random

import cv2
import numpy as np
import pytest

from soli.datasets import ToyDataset
from soli.datasets.toy_captions import TEMPLATES, describe
from soli.datasets.toy_scenes import COLOURS, LAYOUTS, SHAPES, TEXTURES, Scene, Thing, draw_scene
from soli.interfaces import Example, SoliError


@pytest.fixture(scope="module")
def toy() -> ToyDataset:
    return ToyDataset(num_train=400, num_val=60, num_test=60)


def everything(dataset: ToyDataset) -> list[Example]:
    return [example for split in dataset.splits for example in dataset.examples(split)]


def scene(**changes: object) -> Scene:
    words = {"shape": "square", "colour": "red", "texture": "plain", "is_big": True, "centre": (48, 48), "radius": 22, **changes}
    return Scene((Thing(**words),), "middle", "dark")


def test_default_sizes() -> None:
    dataset = ToyDataset()
    assert dataset.splits == ("train", "val", "test")
    assert [len(dataset.examples(split)) for split in dataset.splits] == [2000, 200, 200]


def test_pictures_and_captions_are_a_function_of_seed_split_and_position(toy: ToyDataset) -> None:
    again, larger, other = ToyDataset(num_train=400, num_val=60, num_test=60), ToyDataset(num_train=450), ToyDataset(seed=1)
    for split in toy.splits:
        assert again.examples(split) == toy.examples(split)
        assert larger.examples(split)[:60] == toy.examples(split)[:60]
        assert all(mine != others for mine, others in zip(toy.examples(split), other.examples(split), strict=False))
    example = toy.examples("test")[5]
    assert (again.read_image(example) == toy.read_image(example)).all()
    assert (other.read_image(example) != toy.read_image(example)).any()


def test_a_picture_does_not_depend_on_what_was_read_before(toy: ToyDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soli.datasets.toy.CACHED_PICTURES", 2)
    dataset, examples = ToyDataset(num_train=5), toy.examples("train")[:5]
    for example in [*examples, *reversed(examples)]:
        picture = dataset.read_image(example)
        assert (picture == toy.read_image(example)).all()
        picture[:] = 0  # a caller may write into it
    assert len(dataset._pictures) == 2


def test_a_copy_in_another_process_draws_the_same(toy: ToyDataset) -> None:
    copied, example = pickle.loads(pickle.dumps(toy)), toy.examples("val")[7]
    assert (copied.read_image(example) == toy.read_image(example)).all()


def test_no_picture_is_drawn_twice(toy: ToyDataset) -> None:
    assert len({toy.fingerprint(example) for example in everything(toy)}) == 520


def test_pictures_are_what_readers_give(toy: ToyDataset) -> None:
    picture = toy.read_image(toy.examples("val")[0])
    assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8 and picture.flags.writeable


def test_captions(toy: ToyDataset) -> None:
    captions = [example.captions for example in everything(toy)]
    assert all(len(set(of_image)) == 5 for of_image in captions)
    lengths = [len(caption.split()) for of_image in captions for caption in of_image]
    assert min(lengths) >= 6 and max(lengths) <= 13
    assert 50 <= len({word for of_image in captions for caption in of_image for word in caption.split()}) <= 64
    assert not [caption for of_image in captions for caption in of_image if "{" in caption or " a a" in caption or " a orange" in caption]


def test_captions_tell_the_truth(toy: ToyDataset) -> None:
    """Each adjective stands in a phrase that ends with its shape: the phrase must describe the thing of that shape."""
    attributes = set(COLOURS) | set(TEXTURES) | {"big", "small"}
    phrases = 0
    for example in everything(toy):
        things = {thing.shape: thing for thing in toy.scene(example.image_id).things}
        for caption in example.captions:
            adjectives: list[str] = []
            for word in caption.split():
                if word in attributes:
                    adjectives.append(word)
                elif word in SHAPES:
                    thing = things[word]
                    assert set(adjectives) <= {thing.colour, thing.texture, "big" if thing.is_big else "small"}, caption
                    phrases, adjectives = phrases + bool(adjectives), []
                else:
                    adjectives = []
    assert phrases > 2000


RELATIONS = {"left": (0, -1), "right": (0, 1), "above": (1, -1), "over": (1, -1), "below": (1, 1), "under": (1, 1)}  # axis, sign


def test_relations_tell_the_truth(toy: ToyDataset) -> None:
    """In two-thing captions `A relation B` the centres lie accordingly."""
    seen = set()
    for example in everything(toy):
        layout, things = toy.scene(example.image_id).layout, toy.scene(example.image_id).things
        if layout not in ("beside", "above"):
            continue
        centres = {thing.shape: thing.centre for thing in things}
        for words in (caption.split() for caption in example.captions):
            order = [word for word in words if word in SHAPES]
            relations = [word for word in words if word in RELATIONS]
            if len(relations) == 1 and "on the" not in " ".join(words[:2]):
                axis, sign = RELATIONS[relations[0]]
                assert sign * (centres[order[0]][axis] - centres[order[1]][axis]) > 20, words
                seen.add(relations[0])
    assert seen == set(RELATIONS)


def test_every_layout_has_templates_for_five_captions() -> None:
    assert set(TEMPLATES) == set(LAYOUTS)
    assert min(map(len, TEMPLATES.values())) >= 5
    assert len(set(describe(scene(texture="plain"), random.Random(0)))) == 5


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_has_the_area_that_geometry_says(shape: str) -> None:
    areas = {"circle": 0.95 * np.pi, "square": 1.7**2, "triangle": 1.8, "cross": 4 * 0.6 - 0.36, "ring": 0.64 * np.pi}
    picture = draw_scene(scene(shape=shape, radius=40, centre=(47.7, 47.7)), random.Random(0))
    drawn = (picture[:, :, 0] > 110).sum() / 40**2
    assert drawn == pytest.approx(areas[shape], rel=0.04)


def test_low_resolution_destroys_textures_but_not_colours() -> None:
    """At a fifth of the size a striped square is as even as a plain one, and still red."""

    def spread(texture: str, small: bool) -> float:
        picture = draw_scene(scene(texture=texture), random.Random(1))
        if small:
            picture = cv2.resize(cv2.resize(picture, (19, 19), interpolation=cv2.INTER_AREA), (96, 96), interpolation=cv2.INTER_LINEAR)
        inner = picture[36:60, 36:60].astype(float)
        assert inner[:, :, 0].mean() > 2 * inner[:, :, 1:].mean()
        return inner[:, :, 0].std()

    for texture in ("striped", "dotted"):
        assert spread(texture, small=False) > 4 * spread("plain", small=False)
        assert spread(texture, small=True) < spread(texture, small=False) / 3


def test_limit_and_empty_splits() -> None:
    dataset = ToyDataset(limit=3, num_val=0)
    assert dataset.splits == ("train", "test")
    assert len(dataset.examples("train")) == 3
    with pytest.raises(SoliError, match=r"no pictures in the split 'val'; the splits are train, test"):
        dataset.examples("val")


@pytest.mark.parametrize(("key", "value"), [("root", "data"), ("limit", 0), ("num_train", -1)])
def test_mistakes_are_named(key: str, value: object) -> None:
    with pytest.raises(SoliError, match=f"dataset.{key} is '?{value}"):
        ToyDataset(**{key: value})
