"""The toy data's grammar: five different captions for a scene.

Every sentence names attributes of its own picture, so that a captioner that does not look cannot guess them: the words that all sentences
share weigh little in CIDEr.
"""

from __future__ import annotations

import random

from soli.datasets.toy_scenes import Scene, Thing

TEXTURE_PHRASES = {"plain": "", "striped": "with stripes", "dotted": "with dots"}
PLACES = {
    "middle": "in the middle",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}
ONE_THING = (
    "a {size0} {texture0} {colour0} {shape0} {place}",
    "a {colour0} {shape0} {phrase0} {place}",
    "there is one {texture0} {colour0} {shape0} {place}",
    "{place} is a {size0} {colour0} {shape0} {phrase0}",
    "a {texture0} {colour0} {shape0} on a {background} background",
    "only a {size0} {colour0} {shape0} {place}",
    "one {size0} {texture0} {shape0} {place} on a {background} background",
)
TWO_THINGS = {
    "beside": (
        "a {texture0} {colour0} {shape0} left of a {texture1} {colour1} {shape1}",
        "a {texture1} {colour1} {shape1} right of a {texture0} {colour0} {shape0}",
        "a {colour0} {shape0} {phrase0} beside a {colour1} {shape1} {phrase1}",
        "a {size1} {colour1} {shape1} is to the right of a {size0} {colour0} {shape0}",
        "there is a {texture0} {shape0} left of a {texture1} {shape1}",
        "a {colour0} {shape0} and a {colour1} {shape1} on a {background} background",
        "on the left a {texture0} {colour0} {shape0} on the right a {colour1} {shape1}",
    ),
    "above": (
        "a {texture0} {colour0} {shape0} above a {texture1} {colour1} {shape1}",
        "a {texture1} {colour1} {shape1} below a {texture0} {colour0} {shape0}",
        "a {colour0} {shape0} {phrase0} over a {colour1} {shape1} {phrase1}",
        "a {size1} {colour1} {shape1} is under a {size0} {colour0} {shape0}",
        "there is a {texture0} {shape0} above a {texture1} {shape1}",
        "a {colour0} {shape0} over a {colour1} {shape1} on a {background} background",
        "at the top a {texture0} {colour0} {shape0} at the bottom a {colour1} {shape1}",
    ),
    "inside": (
        "a {texture0} {colour0} {shape0} inside a {texture1} {colour1} {shape1}",
        "a {texture1} {colour1} {shape1} around a {texture0} {colour0} {shape0}",
        "a {colour0} {shape0} {phrase0} inside a {colour1} {shape1} {phrase1}",
        "a big {texture1} {colour1} {shape1} holds a small {colour0} {shape0}",
        "there is a {texture0} {shape0} inside a {texture1} {shape1}",
        "a {colour0} {shape0} in a {colour1} {shape1} on a {background} background",
        "in the middle of a {texture1} {colour1} {shape1} is a {colour0} {shape0}",
    ),
}
THREE_THINGS = {
    "row": (
        "a {colour0} {shape0} then a {colour1} {shape1} then a {colour2} {shape2}",
        "a row of a {colour0} {shape0} a {colour1} {shape1} and a {colour2} {shape2}",
        "a {texture1} {colour1} {shape1} between a {colour0} {shape0} and a {colour2} {shape2}",
        "a {texture0} {shape0} left of a {texture1} {shape1} and a {texture2} {shape2}",
        "three shapes in a row with a {texture1} {colour1} {shape1} in the middle",
        "a {texture2} {colour2} {shape2} right of a {colour1} {shape1} and a {colour0} {shape0}",
    ),
    "column": (
        "a {colour0} {shape0} over a {colour1} {shape1} over a {colour2} {shape2}",
        "a column of a {colour0} {shape0} a {colour1} {shape1} and a {colour2} {shape2}",
        "a {texture1} {colour1} {shape1} between a {colour0} {shape0} and a {colour2} {shape2}",
        "a {texture0} {shape0} above a {texture1} {shape1} and a {texture2} {shape2}",
        "three shapes in a column with a {texture1} {colour1} {shape1} in the middle",
        "a {texture2} {colour2} {shape2} below a {colour1} {shape1} and a {colour0} {shape0}",
    ),
}
TEMPLATES = {**dict.fromkeys(PLACES, ONE_THING), **TWO_THINGS, **THREE_THINGS}


def describe(scene: Scene, generator: random.Random, num_captions: int = 5) -> tuple[str, ...]:
    """Different captions of a scene, each from a template of its own; all that they say is true of it."""
    words = {"background": scene.background, "place": PLACES.get(scene.layout, "")}
    for position, thing in enumerate(scene.things):
        words.update(_words(thing, position))
    templates = generator.sample(TEMPLATES[scene.layout], num_captions)
    return tuple(_with_articles(template.format(**words).split()) for template in templates)


def _words(thing: Thing, position: int) -> dict[str, str]:
    return {
        f"size{position}": "big" if thing.is_big else "small",
        f"texture{position}": thing.texture,
        f"colour{position}": thing.colour,
        f"shape{position}": thing.shape,
        f"phrase{position}": TEXTURE_PHRASES[thing.texture],
    }


def _with_articles(words: list[str]) -> str:
    """The words as a sentence, "an" before a vowel."""
    following = words[1:] + ["."]
    return " ".join("an" if word == "a" and after[0] in "aeiou" else word for word, after in zip(words, following, strict=True))
