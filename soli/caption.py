"""python -m soli.caption run=<run> images=[a.jpg,b.jpg] [condition=R0.1S50]: a line per photograph."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from omegaconf import DictConfig

from soli.configuration import command
from soli.datasets import check_photographs
from soli.interfaces import Example, SoliError
from soli.runs import generation_settings, load, read_config, runtime_settings


@command("caption")
def main(config: DictConfig) -> None:
    runtime = runtime_settings(config)
    generation = generation_settings(read_config(Path(config.run)), config)
    images = _files([config.images] if isinstance(config.images, str) else list(config.images))
    check_photographs([Example(image, (), Path(image)) for image in images])
    model = load(config.run, config.checkpoint, runtime.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=runtime.precision == "bf16"):
        captions = model.caption(images, config.condition, **generation)
    for image, caption in zip(images, captions, strict=True):
        print(
            json.dumps({"image": image, "caption": caption, "condition": config.condition}, ensure_ascii=False)
            if config.json
            else f"{image}\t{caption}"
        )


def _files(images: list[str]) -> list[str]:
    """The files named, and those in the folders named. Raises SoliError when there are none."""
    found = []
    for image in map(Path, images):
        inside = sorted(path for path in image.iterdir() if path.is_file()) if image.is_dir() else [image]
        found += [str(path) for path in inside]
    if not found:
        raise SoliError("images names no file: give at least one, for example images=[a.jpg], or a folder of photographs.")
    return found


if __name__ == "__main__":
    main()
