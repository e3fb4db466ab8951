"""The toy data's scenes: coloured, textured shapes in relations, sampled and drawn.

The textures are two pixels fine: shrunk to a fifth, a picture still shows colours and positions, but neither stripes nor dots.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

SIDE = 96  # pixels
COLOURS = {
    "red": (225, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 230),
    "yellow": (240, 215, 50),
    "purple": (150, 50, 190),
    "orange": (245, 135, 30),
    "pink": (250, 150, 195),
    "cyan": (60, 210, 220),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
TEXTURES = ("plain", "striped", "dotted")
BACKGROUNDS = {"dark": (38, 40, 46), "grey": (128, 128, 130), "light": (222, 222, 216)}
NUM_THINGS_WEIGHTS = (9, 9, 2)  # of scenes with one, two and three things
# Where the things of a layout stand: centres (x, y) as fractions of the side.
LAYOUTS = {
    "middle": ((0.5, 0.5),),
    "left": ((0.3, 0.5),),
    "right": ((0.7, 0.5),),
    "top": ((0.5, 0.3),),
    "bottom": ((0.5, 0.7),),
    "beside": ((0.26, 0.5), (0.74, 0.5)),
    "above": ((0.5, 0.26), (0.5, 0.74)),
    "inside": ((0.5, 0.5), (0.5, 0.5)),
    "row": ((0.19, 0.5), (0.5, 0.5), (0.81, 0.5)),
    "column": ((0.5, 0.19), (0.5, 0.5), (0.5, 0.81)),
}
SMALL_AND_BIG_RADII = {1: ((14, 16), (24, 27)), 2: ((13, 15), (20, 22)), 3: ((10, 11.5), (14, 15))}  # pixels, by number of things


@dataclass(frozen=True)
class Thing:
    """One object of a scene; its centre (x, y) and its radius are pixels."""

    shape: str
    colour: str
    texture: str
    is_big: bool
    centre: tuple[float, float]
    radius: float


@dataclass(frozen=True)
class Scene:
    """Things in a layout before a background, from left to right, from top to bottom, or the inner one first."""

    things: tuple[Thing, ...]
    layout: str
    background: str


def sample_scene(generator: random.Random) -> Scene:
    """A scene whose things all differ in colour and in shape."""
    num_things = generator.choices((1, 2, 3), NUM_THINGS_WEIGHTS)[0]
    layout = generator.choice([name for name, centres in LAYOUTS.items() if len(centres) == num_things])
    shapes = generator.sample(SHAPES, num_things)
    if layout == "inside":  # the outer thing must have room for the inner one
        outer = generator.choice(("circle", "square", "triangle"))
        shapes = [generator.choice([shape for shape in SHAPES if shape != outer]), outer]
    colours = generator.sample(tuple(COLOURS), num_things)
    things = tuple(_sample_thing(generator, layout, position, shapes[position], colours[position]) for position in range(num_things))
    return Scene(things, layout, generator.choice(tuple(BACKGROUNDS)))


def _sample_thing(generator: random.Random, layout: str, position: int, shape: str, colour: str) -> Thing:
    centres = LAYOUTS[layout]
    is_big = position == 1 if layout == "inside" else generator.random() < 0.5
    radii, jitter = SMALL_AND_BIG_RADII[len(centres)][is_big], 4 if len(centres) < 3 else 2
    if layout == "inside":
        radii, jitter = ((38, 42) if is_big else (13, 15)), 2
    x, y = (SIDE * fraction + generator.uniform(-jitter, jitter) for fraction in centres[position])
    return Thing(shape, colour, generator.choice(TEXTURES), is_big, (x, y), generator.uniform(*radii))


def draw_scene(scene: Scene, generator: random.Random) -> np.ndarray:
    """The picture of a scene, uint8 (96, 96, 3). Brightness, the direction of stripes and the noise come from the generator."""
    picture = np.empty((SIDE, SIDE, 3), np.int16)
    picture[:] = np.array(BACKGROUNDS[scene.background]) + generator.randint(-12, 12)
    for thing in reversed(scene.things):  # the inner thing over the outer one
        _draw_thing(picture, thing, generator)
    noise = np.frombuffer(generator.randbytes(picture.size), np.uint8) % 25
    return (picture + noise.reshape(picture.shape) - 12).clip(0, 255).astype(np.uint8)


def _draw_thing(picture: np.ndarray, thing: Thing, generator: random.Random) -> None:
    left, top = (max(0, int(middle - thing.radius)) for middle in thing.centre)
    right, bottom = (min(SIDE, int(middle + thing.radius) + 2) for middle in thing.centre)
    y, x = np.ogrid[top:bottom, left:right]
    inside = _shape_mask(thing.shape, (x - thing.centre[0]) / thing.radius, (y - thing.centre[1]) / thing.radius)
    brightness = generator.uniform(0.6, 1.0) if thing.texture == "plain" else generator.uniform(0.85, 1.0)  # a texture darkens by itself
    colour = np.array(COLOURS[thing.colour]) * brightness
    accent = _texture_mask(thing.texture, x, y, generator)
    window = picture[top:bottom, left:right]
    window[inside] = colour
    window[inside & accent] = colour * 0.1


def _shape_mask(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where a shape of radius 1 about the origin is, for a row of x and a column of y (pointing down)."""
    if shape == "square":
        return np.maximum(abs(x), abs(y)) <= 0.85
    if shape == "triangle":
        return (abs(x) * 1.8 <= y + 1) & (y <= 0.8)
    if shape == "cross":
        return (np.minimum(abs(x), abs(y)) <= 0.3) & (np.maximum(abs(x), abs(y)) <= 1)
    squared_radius = x * x + y * y
    if shape == "circle":
        return squared_radius <= 0.95
    return (squared_radius <= 1) & (squared_radius >= 0.36)  # a ring


def _texture_mask(texture: str, x: np.ndarray, y: np.ndarray, generator: random.Random) -> np.ndarray:
    """Where a texture is dark, for a row of x and a column of y in pixels."""
    x, y = x + generator.randrange(5), y + generator.randrange(5)
    if texture == "striped":
        across = generator.choice((x + 0 * y, 0 * x + y, x + y))
        return across % 5 < 2
    if texture == "dotted":
        return (x % 5 < 2) & (y % 5 < 2)
    return np.zeros((y.size, x.size), bool)
