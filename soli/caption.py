"""python -m soli.caption run=<run> images=[a.jpg,b.jpg] [condition=R0.1S50]: a line per photograph."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from omegaconf import DictConfig

from soli.configuration import command
from soli.datasets import check_photographs
from soli.interfaces import Example, SoliError
from soli.runs import generation_settings, load, read_config


@command("caption")
def main(config: DictConfig) -> None:
    if config.runtime.threads is not None:
        torch.set_num_threads(config.runtime.threads)
    generation = generation_settings(read_config(Path(config.run)), config)
    images = [str(image) for image in config.images]
    if not images:
        raise SoliError("images is empty: give at least one file, for example images=[a.jpg].")
    check_photographs([Example(image, (), Path(image)) for image in images])
    model = load(config.run, config.checkpoint, config.runtime.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=config.runtime.precision == "bf16"):
        captions = model.caption(images, config.condition, **generation)
    for image, caption in zip(images, captions, strict=True):
        print(
            json.dumps({"image": image, "caption": caption, "condition": config.condition}, ensure_ascii=False)
            if config.json
            else f"{image}\t{caption}"
        )


if __name__ == "__main__":
    main()
