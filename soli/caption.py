"""python -m soli.caption run=<run> images=[a.jpg,b.jpg] [condition=R0.1S50]: a line per photograph."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from omegaconf import DictConfig

from soli.configuration import command
from soli.datasets import check_photographs
from soli.degradations import parse
from soli.interfaces import Example, SoliError
from soli.runs import generation_settings, load, read_config
from soli.training.settings import RuntimeSettings


@command("caption")
def main(config: DictConfig) -> None:
    runtime = RuntimeSettings(**config.runtime)
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    trained = read_config(Path(config.run))
    generation = generation_settings(trained, config)
    degradation = parse(config.condition or "original", trained["degradation"]["mode"])
    images = [str(image) for image in config.images]
    if not images:
        raise SoliError("images is empty: give at least one file, for example images=[a.jpg].")
    check_photographs([Example(image, (), Path(image)) for image in images])
    model = load(config.run, config.checkpoint, runtime.device)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=runtime.precision == "bf16"):
        captions = model.caption(images, degradation, **generation)
    for image, caption in zip(images, captions, strict=True):
        print(
            json.dumps({"image": image, "caption": caption, "condition": config.condition}, ensure_ascii=False)
            if config.json
            else f"{image}\t{caption}"
        )


if __name__ == "__main__":
    main()
