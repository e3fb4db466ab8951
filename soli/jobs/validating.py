"""How soli.train looks at the validation split: captions and embeddings at each condition, and retrieval where matching is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from soli.datasets import CaptionedImages
from soli.degradations import Degradation, parse
from soli.evaluation import CaptionScorer
from soli.evaluation.ladder import climb, match_ladder
from soli.evaluation.retrieval_folds import owners
from soli.feature_cache import FeatureCache
from soli.interfaces import CaptionDataset, SoliError
from soli.jobs.starting import starts_with_captions
from soli.model import Captioner
from soli.training.loop import Validate
from soli.training.schedule import has, trained_parts
from soli.training.settings import GenerationSettings, Recipe
from soli.training.validation import retrieval_scores, validation_scores


def validation(model: Captioner, dataset: CaptionDataset, settings: Any, recipe: Recipe) -> Validate:
    """A function that scores the validation split under each condition: generated captions and embeddings, and retrieval.

    Captions are not generated where nothing but matching is trained.
    """
    data = CaptionedImages(dataset, "val", model.tokenizer, recipe.loader.max_tokens)
    if recipe.validation.limit is not None:
        data = data.first(recipe.validation.limit)
    degradations = [parse(name, recipe.mode, dataset.reference_side) for name in recipe.validation.conditions]
    if recipe.validation.metric == "rsum" and model.matcher is None:
        raise SoliError("validation.metric=rsum is of retrieval, and no phase matches captions with photographs: choose auto.")
    retrieval = _retrieval(model, data, degradations, recipe)
    if not any(has(phase, "caption", "attention") for phase in recipe.phases.values()):
        if recipe.validation.metric == "rsum":
            return lambda _: retrieval(None)
        if not starts_with_captions(settings):
            raise SoliError(f"validation.metric={recipe.validation.metric} is of captions, and no phase learns any: choose auto, or rsum.")
    scorer = CaptionScorer([list(example.captions) for example in data.examples], metrics=("BLEU", "ROUGE-L", "CIDEr"))
    runtime, generation = recipe.runtime, GenerationSettings(**settings["generation"])
    neutral = {name: getattr(GenerationSettings(), name) for name in generation.filters}
    search = asdict(replace(generation, num_beams=recipe.validation.num_beams, sample=False, **neutral))

    width = 0 if model.matcher is None else model.matcher.dim  # of the joint space

    def embed(features: Tensor) -> Tensor:
        """Embeddings, and behind them the photographs' places in the joint space, if there is one."""
        matched = [] if model.matcher is None else [model.matcher.images(features.float())]
        return torch.cat([model.embeddings(features), *matched], dim=1)

    def validate(distance_at_start: float | None) -> dict[str, float]:
        work = {"workers": runtime.workers, "precision": runtime.precision, "progress": False}
        rungs, places = climb(model, data, degradations, embed=embed, **work, **search), {}
        for rung in rungs:
            rung.embeddings, places[rung.condition] = rung.embeddings.tensor_split([rung.embeddings.shape[1] - width], dim=1)
        scores = [scorer.score(rung.captions) for rung in rungs]
        report = validation_scores(rungs, scores, recipe.validation.selected, distance_at_start)
        return report if model.matcher is None else {**report, **retrieval(places)}

    return validate


def _retrieval(
    model: Captioner, data: CaptionedImages, degradations: Sequence[Degradation], recipe: Recipe
) -> Callable[[Mapping[str, Tensor] | None], dict[str, float]]:
    """A function that gives the scores of retrieval on `data`, from the photographs' places in the joint space by condition.

    Without these it makes them itself; features of an encoder that never trains come from the cache.
    """
    runtime, features = recipe.runtime, recipe.features
    captions = [caption for example in data.examples for caption in example.captions]
    owner = owners([example.captions for example in data.examples])

    @cache
    def kept() -> FeatureCache:  # made when it is wanted: the weights may be loaded later than this
        found = FeatureCache(Path(features.cache), model, features.dtype, runtime.precision, workers=runtime.workers, say=tqdm.write)
        found.ensure(data, degradations)
        return found

    def scores(places: Mapping[str, Tensor] | None) -> dict[str, float]:
        if places is None:
            places = make_places()
        return retrieval_scores(places, model.joint_captions(captions), owner, recipe.validation.selected)

    def make_places() -> dict[str, Tensor]:
        if features.cache is not None and "encoder" not in trained_parts(recipe.phases):
            return {degradation.spec: _joint(model, data, degradation, kept()) for degradation in degradations}
        rungs = match_ladder(model, data, degradations, workers=runtime.workers, precision=runtime.precision, progress=False)
        return {rung.condition: rung.embeddings for rung in rungs}

    return scores


@torch.inference_mode()
def _joint(model: Captioner, data: CaptionedImages, degradation: Degradation, kept: FeatureCache) -> Tensor:
    """The photographs (M, E) in the joint space, from their kept features."""
    examples, parts = data.examples, []
    for first in range(0, len(examples), 256):
        some = examples[first : first + 256]
        parts.append(model.matcher.images(kept.features(some, [degradation] * len(some)).to(model.device)).cpu())
    return torch.cat(parts)
