"""How fast the captions of a ladder are scored, against ten runs of pycocoevalcap: ten conditions, five references for each photograph.

python scripts/benchmark/metrics.py [--captions FILE] [--quick] [--output FILE] 2>/dev/null

Ours: one CaptionScorer for the ten sets. The peer, as its users do it, for every set anew: words cut by its Java tokenizer, then Bleu,
Rouge, Cider and a new Meteor, closed afterwards. "Without Java" neither has METEOR and the peer is given our words; "without METEOR" it
cuts them by its Java tokenizer. Without equal scores there are no figures. What soli remembers within a process is forgotten before each
run, whoever runs, so that no run warms up another.

FILE is a captions.jsonl of soli.evaluate. Without it 1,000 scenes of the toy dataset's grammar are drawn, each described five times. The
captions of the ten conditions are like a model's: a photograph often keeps its caption from one condition to the next; else it is
described with some words of another scene, or, more often down the ladder, gets one of 30 generic captions. Ours does not score a caption
again that its photograph had before, so `distinct`, the share of the others, is reported: 0.58 as drawn, 0.62 of a trained ViT and GPT-2.

Prints JSON and a table: medians and quartiles of wall time, and of CPU time, which includes the Java programs'. These talk on stderr.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from timing import race, read_arguments, report

from soli import tokenization
from soli.datasets.toy_captions import describe
from soli.datasets.toy_scenes import Scene, sample_scene
from soli.evaluation import CaptionScorer, caption_metrics
from soli.version import __version__

WITHOUT_METEOR = ("BLEU", "ROUGE-L", "CIDEr")
Scores = list[dict[str, float]]  # of each condition
Cut = Callable[[list[Sequence[str]]], dict[int, list[str]]]  # the captions of each photograph -> their words, joined by spaces


@dataclass(frozen=True)
class Ladder:
    """`sets[c][p]`: the caption of photograph p at condition c. `references[p]`: its human captions."""

    sets: list[list[str]]
    references: list[list[str]]

    @property
    def distinct(self) -> float:
        """The share of captions that their photograph has at no condition before."""
        different = sum(len(set(captions)) for captions in zip(*self.sets, strict=True))
        return different / sum(map(len, self.sets))


@dataclass(frozen=True)
class Contest:
    """The same scores by two ways."""

    name: str
    ours: Callable[[], Scores]
    peer: Callable[[], Scores]


def main() -> None:
    given = read_arguments(__doc__, quick="one repeat instead of three", captions=True)
    ladder = drawn() if given.captions is None else read(given.captions)
    contests = (
        Contest("with METEOR", lambda: by_soli(ladder), lambda: by_pycocoevalcap(ladder, by_java, with_meteor=True)),
        Contest("without Java", lambda: by_soli(ladder, WITHOUT_METEOR), lambda: by_pycocoevalcap(ladder, by_tokenize)),
        Contest("without METEOR", lambda: by_soli(ladder, WITHOUT_METEOR), lambda: by_pycocoevalcap(ladder, by_java)),
    )
    results = [{**measure(contest, repeats=1 if given.quick else 3), **sizes(ladder)} for contest in contests]
    versions = {"soli": __version__, "pycocoevalcap": version("pycocoevalcap")}
    report(results, table(results), versions, given.output, cores=os.cpu_count())


def measure(contest: Contest, repeats: int) -> dict:
    """Times both ways. Raises AssertionError when a score differs."""
    scores: dict[str, Scores] = {}
    times = race(lambda: scores.update(ours=contest.ours()), lambda: scores.update(peer=contest.peer()), repeats)
    for condition, (ours, peer) in enumerate(zip(scores["ours"], scores["peer"], strict=True)):
        gaps = {name: abs(ours[name] - peer[name]) for name in peer}
        assert ours.keys() == peer.keys(), f"{contest.name}: {sorted(ours)} against {sorted(peer)}"
        assert max(gaps.values()) <= 1e-6, f"{contest.name}, condition {condition}: the scores differ by {gaps}"
    return {"name": contest.name, **times}


def sizes(ladder: Ladder) -> dict[str, float]:
    return {"conditions": len(ladder.sets), "photographs": len(ladder.references), "distinct": ladder.distinct}


def by_soli(ladder: Ladder, metrics: Sequence[str] = caption_metrics.METRICS) -> Scores:
    forget()
    with CaptionScorer(ladder.references, metrics) as scorer:
        return [scorer.score(captions) for captions in ladder.sets]


def by_pycocoevalcap(ladder: Ladder, cut: Cut, with_meteor: bool = False) -> Scores:
    """Every set by itself, as by a program that is started for it."""
    forget()
    scores = []
    for captions in ladder.sets:
        words, others = cut([[caption] for caption in captions]), cut(ladder.references)
        with contextlib.redirect_stdout(io.StringIO()):
            bleu, rouge, cider = (scorer.compute_score(others, words)[0] for scorer in (Bleu(4), Rouge(), Cider()))
        found = {**{f"BLEU-{order}": value for order, value in enumerate(bleu, start=1)}, "ROUGE-L": rouge, "CIDEr": cider}
        scores.append(found | ({"METEOR": peers_meteor(others, words)} if with_meteor else {}))
    return scores


def peers_meteor(references: dict[int, list[str]], words: dict[int, list[str]]) -> float:
    meteor = Meteor()
    score, _ = meteor.compute_score(references, words)
    meteor.meteor_p.stdout.close()
    meteor.meteor_p.stderr.close()
    del meteor  # ends its process and waits for it, so that its CPU time counts
    return score


def by_java(captions: list[Sequence[str]]) -> dict[int, list[str]]:
    return PTBTokenizer().tokenize({index: [{"caption": caption} for caption in some] for index, some in enumerate(captions)})


def by_tokenize(captions: list[Sequence[str]]) -> dict[int, list[str]]:
    return {index: [" ".join(tokenization.tokenize(caption)) for caption in some] for index, some in enumerate(captions)}


def forget() -> None:
    """Empties soli's caches of words and of their n-grams: each run starts like one of a new process."""
    for module in (caption_metrics, tokenization):
        for function in vars(module).values():
            if hasattr(function, "cache_clear"):
                function.cache_clear()


def read(path: Path) -> Ladder:
    """A captions.jsonl: for each photograph its captions by condition, and its references."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    return Ladder([[row["captions"][name] for row in rows] for name in rows[0]["captions"]], [row["references"] for row in rows])


def drawn(num_photographs: int = 1000, num_conditions: int = 10, seed: int = 0) -> Ladder:
    """Captions like a model's of scenes of the toy dataset, as the head of this file says."""
    generator = random.Random(seed)
    scenes = [sample_scene(generator) for _ in range(num_photographs)]
    references = [[f"{caption.capitalize()} ." for caption in describe(scene, generator)] for scene in scenes]
    generic = [describe(sample_scene(generator), generator, 1)[0] for _ in range(30)]

    def caption(scene: Scene, condition: int) -> str:
        if generator.random() < condition / num_conditions:
            return generator.choices(generic, weights=range(30, 0, -1))[0]
        words = describe(scene, generator, 1)[0].split()
        others = describe(sample_scene(generator), generator, 1)[0].split()
        return " ".join(other if generator.random() < 0.2 else word for word, other in zip(words, others * 3, strict=False))

    sets = [[caption(scene, 0) for scene in scenes]]
    for condition in range(1, num_conditions):
        kept = [generator.random() < 0.45 for _ in scenes]
        sets.append([last if keep else caption(scene, condition) for last, keep, scene in zip(sets[-1], kept, scenes, strict=True)])
    return Ladder(sets, references)


def table(results: list[dict]) -> str:
    lines = [f"{'seconds for the ladder':24}{'ours':>8}{'peer':>10}{'times as fast':>16}{'in CPU time':>13}"]
    for row in results:
        ours, peer = (row["seconds"][way]["wall"]["median"] for way in ("ours", "peer"))
        speedup = row["speedup"]
        lines.append(f"{row['name']:24}{ours:8.2f}{peer:10.2f}{speedup['wall']:16.2f}{speedup['cpu']:13.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
