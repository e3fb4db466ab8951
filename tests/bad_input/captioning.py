"""Photographs that soli.caption cannot read, and what else it cannot do: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tests.bad_input.workplace import cut, picture

REPLACE = "replace them or take them out"


def _cut_picture(number: int):
    def write(path: Path) -> None:
        picture(path)
        cut(number)(path)

    return write


def _plain(width: int, height: int):
    return lambda path: Image.new("RGB", (width, height)).save(path)


FILES = {
    "broken/text.jpg": "this is no picture",
    "broken/empty.png": b"",
    "broken/cut.jpg": _cut_picture(300),
    "broken/cut.png": _cut_picture(600),
    "broken/float.tiff": lambda path: Image.new("F", (8, 8)).save(path),
    "twice/one/a.png": picture,
    "twice/two/a.png": picture,
    "narrow/line.png": _plain(200, 2),
    "narrow/dot.png": _plain(1, 1),
}
PICTURES = "caption run=runs/small images=pictures"
CASES = [
    ("caption", "run, images must be given", "add run=<value> images=<value>"),
    ("caption images=[pictures/a.png]", "run must be given", "add run=<value>"),
    ("caption run=runs/small images=[]", "images names no file", "give at least one"),
    ("caption run=runs/small images=", "images= holds an empty text", "give a list such as [a,b] or text"),
    ("caption run=runs/small images=empty", "images names no file", "or a folder of photographs"),
    ("caption run=runs/small images=twice", "images names no file", "all there is: twice/one, twice/two"),
    ("caption run=runs/small images=nowhere.jpg", "The photograph nowhere.jpg does not exist", REPLACE),
    ("caption run=runs/small images=[pictures/a.png,nowhere.jpg]", "1 of 2 photographs cannot be used", "nowhere.jpg does not exist"),
    ("caption run=runs/small images=pictures/a.png,pictures/b.jpg", "gives several values", "write a list as images=[a,b]"),
    (
        "caption run=runs/small images=[pictures/a.png, pictures/b.jpg]",
        "images=[pictures/a.png, goes on after a space",
        "images=[pictures/a.png,pictures/b.jpg]",
    ),
    ("caption run=runs/small images=pictures/a.png pictures/b.jpg", "pictures/b.jpg is not an override", "Write key=value"),
    ("caption run=runs/small images=file.txt", "The file file.txt is no image", "JPEG, PNG"),
    ("caption run=runs/small images=[broken/empty.png]", "broken/empty.png is an empty file", REPLACE),
    ("caption run=runs/small images=[broken/cut.jpg]", "broken/cut.jpg cannot be read", REPLACE),
    ("caption run=runs/small images=[broken/float.tiff]", "broken/float.tiff has 32-bit pixels", "save it with 8 or 16 bits"),
    ("caption run=runs/small images=broken", "5 of 5 photographs cannot be used", REPLACE),
    ("caption run=runs/small images=[narrow/dot.png] condition=R0.5S1", "The photograph narrow/dot.png is too small", "larger ratio"),
    ("caption run=runs/small images=[narrow/line.png] condition=R0.2S1", "200 x 2 pixels", "leave this photograph out"),
    ("caption run=runs/small images=[narrow/dot.png] condition=R0.5S1 attention=figures", "narrow/dot.png", "larger ratio"),
    (f"{PICTURES} condition=", "condition= holds an empty text", "give text or null"),
    (f"{PICTURES} condition=R0.001S1", "'R0.001S1' would leave less than one pixel", "use a larger ratio"),
    ("caption run=runs/vit images=pictures checkpoint=last", "no checkpoint runs/vit/last.safetensors", "Its folder holds: best"),
    ("caption run=runs/match images=pictures", "run=runs/match has learnt no captions", "soli.evaluate metrics=retrieval"),
    ("caption run=runs/small images=[twice/one/a.png,twice/two/a.png] attention=figures", "are named a", "Caption them apart"),
    (f"{PICTURES} attention=file.txt", "attention=file.txt is a file", "give a folder"),
    (f"{PICTURES} attention=file.txt/figures", "file.txt/figures: Not a directory", "Check the path"),
    (f"{PICTURES} attention=new/figures generation.max_tokens=0", "generation.max_tokens=0", "at least 1"),
    ("caption run=runs/vit images=pictures attention=new/figures generation.max_tokens=90", "generation.max_tokens=90", "lower it"),
    (f"{PICTURES} runtime.precision=fp16", "runtime.precision=fp16 is for training", "caption with fp32 or bf16"),
]
