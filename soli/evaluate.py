"""python -m soli.evaluate run=<run> [overrides]: scores a run's captions at every condition of the resolution ladder."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from soli.configuration import command
from soli.datasets import CaptionedImages, check_photographs
from soli.degradations import parse
from soli.evaluation import CaptionScorer, signature
from soli.evaluation.embeddings import EmbeddingDistances, embedding_distances
from soli.evaluation.ladder import Rung, climb
from soli.evaluation.signature import generation_entry
from soli.evaluation.tables import text_table, write_csv
from soli.interfaces import CaptionDataset, Example, SoliError
from soli.runs import build_dataset, generation_settings, load, read_config, runtime_settings, versions
from soli.training.settings import GenerationSettings


@command("evaluate")
def main(config: DictConfig) -> None:
    folder = Path(config.run)
    trained = read_config(folder)
    runtime = runtime_settings(config)
    generation = generation_settings(trained, config)
    dataset = build_dataset(trained, **config.dataset)
    if config.split not in dataset.splits:
        raise SoliError(f"split={config.split} is not a split of {dataset.name}: choose one of {', '.join(dataset.splits)}.")
    names = list(config.conditions if config.conditions is not None else trained["degradation"]["conditions"])
    degradations = [parse(name, trained["degradation"]["mode"], dataset.reference_side) for name in names]
    if not degradations:
        raise SoliError("conditions is empty: name at least one, for example conditions=[original,R0.1S50].")
    model = load(folder, config.checkpoint, runtime.device)
    data = CaptionedImages(dataset, config.split, model.tokenizer)
    check_photographs(data.examples)
    output = Path(config.output or folder / "evaluation" / config.split)
    warnings.filterwarnings("ignore", message="METEOR is not reported")  # said below, without a line of code
    with CaptionScorer([list(example.captions) for example in data.examples], metrics=tuple(config.metrics)) as scorer:
        output.mkdir(parents=True, exist_ok=True)  # now, so that a folder without permission is found before the long work
        rungs = climb(model, data, degradations, workers=runtime.workers, precision=runtime.precision, **generation)
        distances = _distances(rungs)
        rows = [_row(rung, scorer.score(rung.captions), distances) for rung in rungs]
        rows.append({"condition": f"{rungs[0].condition}, permuted", **scorer.score(shuffle(rungs[0].captions))})
        unavailable = scorer.unavailable
    metrics = [metric for metric in config.metrics if metric not in unavailable]
    protocol = _protocol(config, generation, dataset, metrics, trained["degradation"]["mode"])
    embeddings = {} if distances is None else {"std": distances.std, "distance_to_others": distances.other, "ratio": distances.ratio}
    _write(output, rows, rungs, data.examples, {"protocol": protocol, "unavailable": dict(unavailable), "embeddings": embeddings})
    print(text_table(rows))
    if distances is not None and distances.ratio is not None:
        print(f"Other photographs lie {distances.other:.3f} from the original, {distances.ratio:.2f} times as far as its worst copy.")
    for sentence in unavailable.values():
        print(sentence)
    print(f"Protocol: {protocol}\nThe table, the scores and the captions are in {output}")


def shuffle(captions: list[str]) -> list[str]:
    """The captions with every photograph's given to another one: what the same model scores when it does not see its photograph."""
    order = list(range(len(captions)))
    random.Random(0).shuffle(order)
    shuffled = list(captions)
    for here, there in zip(order, order[1:] + order[:1], strict=True):
        shuffled[here] = captions[there]
    return shuffled


def _distances(rungs: list[Rung]) -> EmbeddingDistances | None:
    """How far the copies lie from the originals; None when the originals are not among the conditions."""
    by_condition = {rung.condition: rung.embeddings for rung in rungs}
    original = by_condition.pop("original", None)
    return None if original is None else embedding_distances(original, by_condition)


def _row(rung: Rung, scores: Mapping[str, float], distances: EmbeddingDistances | None) -> dict[str, Any]:
    height, width = rung.pixels
    moved = {} if distances is None else {"distance": distances.copies.get(rung.condition, 0.0)}
    return {"condition": rung.condition, "pixels": f"{width}x{height}", **scores, "distinct": len(set(rung.captions)), **moved}


def _protocol(config: DictConfig, generation: Mapping[str, Any], dataset: CaptionDataset, metrics: list[str], mode: str) -> str:
    """Everything that a score depends on besides the weights: two scores compare when this line is the same."""
    counts = sorted({len(example.captions) for example in dataset.examples(config.split)})
    return signature(
        metric=",".join(metrics),
        data=dataset.name,
        split=config.split,
        images=len(dataset.examples(config.split)),
        refs=str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}",
        side=dataset.reference_side or "own",
        mode=mode,
        gen=generation_entry(GenerationSettings(**generation)),
        checkpoint=config.checkpoint,
        precision=config.runtime.precision,
    )


def _write(folder: Path, rows: list[dict], rungs: list[Rung], examples: list[Example], about: Mapping[str, Any]) -> None:
    """The scores, with what there is to know `about` them, and the captions."""
    metrics = {**about, "versions": versions(), "rows": rows}
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False), encoding="utf-8")
    write_csv(folder / "metrics.csv", rows)
    with open(folder / "captions.jsonl", "w", encoding="utf-8") as file:
        for index, example in enumerate(examples):
            captions = {rung.condition: rung.captions[index] for rung in rungs}
            file.write(
                json.dumps({"image": example.image_id, "captions": captions, "references": example.captions}, ensure_ascii=False) + "\n"
            )


if __name__ == "__main__":
    main()
