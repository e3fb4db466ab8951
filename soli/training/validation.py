"""What a validation reports: scores at each condition, how the embeddings lie, and warnings when something has gone wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from torch import Tensor
from tqdm import tqdm

from soli.degradations import parse
from soli.evaluation.diagnostics import pc_id
from soli.evaluation.embeddings import embedding_distances
from soli.evaluation.ladder import Rung
from soli.evaluation.retrieval import rank
from soli.training.health import caption_warning, check_finite, collapse_warning


def validation_scores(
    rungs: Sequence[Rung], scores: Sequence[Mapping[str, float]], selected: Sequence[str], distance_at_start: float | None
) -> dict[str, float]:
    """One flat mapping: each metric averaged over the conditions `selected`, then each at each condition (`CIDEr/R0.1S50`).

    With it go the share of `distinct` captions, and of the embeddings their standard deviation, the number of principal components with 90
    % of their variance (`pc_id`), their mean distances to the copies at the conditions and to other photographs, and the ratio of these
    (soli/evaluation/embeddings.py). Prints warnings of health.py.
    """
    distinct = [len(set(rung.captions)) / len(rung.captions) for rung in rungs]
    by_condition = {rung.condition: {**score, "distinct": share} for rung, score, share in zip(rungs, scores, distinct, strict=True)}
    names = [parse(name).spec for name in selected]
    report = {metric: fmean(by_condition[name][metric] for name in names) for metric in by_condition[names[0]]}
    if len(rungs) > 1:
        report |= {f"{metric}/{name}": score for name, of_rung in by_condition.items() for metric, score in of_rung.items()}
    original, *others = rungs
    check_finite({rung.condition: rung.embeddings for rung in rungs})
    distances = embedding_distances(original.embeddings, {rung.condition: rung.embeddings for rung in others})
    report |= {"embedding_std": distances.std, "distance_to_others": distances.other, "pc_id": pc_id(original.embeddings)}
    if others:
        report |= {f"distance_to_copy/{name}": distance for name, distance in distances.copies.items()}
    if distances.ratio is not None:
        report["distance_ratio"] = distances.ratio
    collapse = collapse_warning(distances.other, distance_at_start) if distance_at_start is not None else None
    for sentence in (collapse, caption_warning(original.captions)):
        if sentence:
            tqdm.write(sentence)
    return report


def retrieval_scores(places: Mapping[str, Tensor], captions: Tensor, owner: Sequence[int], selected: Sequence[str]) -> dict[str, float]:
    """One flat mapping, as `validation_scores`: `rank_metrics` averaged over the conditions `selected`, then the main ones of each
    condition.

    `places` (M, E): the photographs in the joint space by condition; `captions` and `owner`: theirs, and whose they are. With it goes
    `pc_id` of the first condition's places: `joint_pc_id`.
    """
    check_finite(places)
    by_condition = {name: rank(images, captions, owner).metrics() for name, images in places.items()}
    names = [parse(name).spec for name in selected]
    report = {metric: fmean(by_condition[name][metric] for name in names) for metric in by_condition[names[0]]}
    if len(by_condition) > 1:
        report |= {f"{metric}/{name}": by_condition[name][metric] for name in by_condition for metric in ("rsum", "i2t_R@1", "t2i_R@1")}
    return {**report, "joint_pc_id": pc_id(next(iter(places.values())).double())}
