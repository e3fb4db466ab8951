"""What soli.caption does: a line per photograph."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from tqdm import tqdm

from soli.configuration.command_text import setting
from soli.degradations import Degradation, parse
from soli.evaluation.attention_maps import attention_maps
from soli.evaluation.writing import making
from soli.interfaces import Example, SoliError
from soli.jobs.next_steps import say_next
from soli.jobs.sizes import check_files
from soli.jobs.starting import check_captions
from soli.model import Captioner
from soli.printing import first_few, in_a_cell, printable
from soli.runs import generation_settings, load, read_config, runtime_settings

# What may lie beside photographs.
OTHERS = re.compile(r"\.(csv|tsv|txt|json|jsonl|ndjson|ya?ml|xml|md|html?|pdf|zip|npy|npz|db|ini|mp4)$", flags=re.IGNORECASE)


def main(config: DictConfig) -> None:
    runtime = runtime_settings(config)
    if runtime.precision == "fp16":
        raise SoliError("runtime.precision=fp16 is for training: caption with fp32 or bf16.")
    trained = read_config(Path(config.run))
    check_captions(config.run, trained)
    generation = generation_settings(trained, config)
    images = _files([config.images] if isinstance(config.images, str) else list(config.images))
    condition = parse(config.condition or "original", trained["degradation"]["mode"], trained["dataset"]["reference_side"])
    check_files([Example(image, (), Path(image)) for image in images], [condition])
    folder = None if config.attention is None else _figure_folder(Path(config.attention), images)
    model = load(config.run, config.checkpoint, runtime.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=runtime.precision == "bf16"):
        if folder is None:
            captions = model.caption(images, condition, batch_size=generation.batch_size, **generation.options)
        else:
            with making(folder):
                captions = _draw_attention(model, images, condition, folder, generation.options)
    for image, caption in zip(images, captions, strict=True):
        print(_json_line(image, caption, config.condition) if config.json else f"{in_a_cell(image)}\t{in_a_cell(caption)}")

    if folder is not None:
        _say_where(config, folder)


def _say_where(config: DictConfig, folder: Path) -> None:
    """On stderr, as stdout has a line per photograph and nothing else: where the figures are, and how to see other conditions."""
    seen = config.condition or "original"
    print(printable(f"The figures and arrays of {seen} are in {folder}"), file=sys.stderr)
    images = [config.images] if isinstance(config.images, str) else list(config.images)
    other = "R0.1S50" if seen == "original" else "original"
    arguments = [setting("run", config.run), setting("images", *images), f"condition={other}", setting("attention", f"{folder}_{other}")]
    say_next("caption", *arguments, purpose=f"to see where it looks under {other}", to=sys.stderr)


def _json_line(image: str, caption: str, condition: str | None) -> str:
    """An object that reads well in any language, and has no codes for terminals: JSON has escapes of its own for these."""
    content = {"image": image, "caption": caption, "condition": condition}
    plain = json.dumps(content, ensure_ascii=False)
    return plain if printable(plain) == plain else json.dumps(content)


def _figure_folder(folder: Path, images: list[str]) -> Path:
    """The folder. Raises SoliError for two photographs of one name, whose figures would be one file."""
    stems = [Path(image).stem for image in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise SoliError(
            f"attention={folder}: several photographs are named {', '.join(twice[:5])}, and so would be their figures. Caption them apart."
        )
    if folder.exists() and not folder.is_dir():
        raise SoliError(f"attention={folder} is a file: give a folder, in which the figures are written.")
    return folder


def _draw_attention(model: Captioner, images: list[str], condition: Degradation, folder: Path, generation: dict[str, Any]) -> list[str]:
    """The captions; a figure and the arrays of each photograph's attention are written under its name."""
    captions = []
    found = attention_maps(model, images, condition, **generation)
    for image, maps in zip(images, tqdm(found, total=len(images), desc="attention", unit="photograph"), strict=True):
        maps.draw(folder / f"{Path(image).stem}.png")
        maps.save(folder / f"{Path(image).stem}.npz")
        captions.append(" ".join(maps.words))
    return captions


def _files(images: list[str]) -> list[str]:
    """The files named, and the photographs in the folders named. Raises SoliError when there are none."""
    found, others, folders = [], [], []
    for image in map(Path, images):
        if not image.is_dir():
            found.append(image)
            continue
        for path in sorted(image.iterdir()):
            (folders if path.is_dir() else others if _is_no_photograph(path) else found).append(path)
    if not found:
        held = f"; all there is: {first_few(list(map(str, folders + others)))}" if folders + others else ""
        raise SoliError(f"images names no file: give at least one, for example images=[a.jpg], or a folder of photographs{held}.")
    if others:
        print(printable(f"Left out, as no photographs: {first_few(list(map(str, others)))}"), file=sys.stderr)
    return list(map(str, found))


def _is_no_photograph(path: Path) -> bool:
    return path.name.startswith(".") or OTHERS.search(path.name) is not None
