"""What a reproduction trains and compares, as its yamls say: rows for every pair and seed, all from one captioner of the pair and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from soli.interfaces import SoliError
from soli.spelling import nearest

HERE = Path(__file__).parent
SCALES = tuple(sorted(path.stem for path in HERE.glob("*.yaml") if path.stem != "tables"))


@dataclass(frozen=True)
class Pair:
    """An encoder and a decoder: overrides of the captioner that all rows start from, and of the rows."""

    name: str
    title: str
    start: tuple[str, ...]
    rows: tuple[str, ...]
    start_only: tuple[str, ...]  # keys that only the start is given, but for what a user gives as rows:<key>


@dataclass(frozen=True)
class Training:
    """A run: its folder, its overrides, and the folder of the run that it starts from."""

    folder: Path
    overrides: tuple[str, ...]
    start: Path | None = None


@dataclass(frozen=True)
class Plan:
    """A scale, as far as it was chosen.

    `given` are a user's overrides: those of one pair as `<pair>:<key>=<value>`, those of what the rows start from, or of the rows, as
    `start:<key>=<value>` and `rows:<key>=<value>`, those of a pair's rows as `<pair>:rows:<key>=<value>`.
    """

    scale: str
    out: Path
    pairs: tuple[Pair, ...]
    tables: Mapping[str, tuple[str, ...]]
    rows: Mapping[str, tuple[str, ...]]
    controls: tuple[str, ...]
    seeds: tuple[int, ...]
    conditions: tuple[str, ...]
    unseen: tuple[str, ...]
    data: tuple[str, ...]
    given: tuple[str, ...]

    @classmethod
    def of(
        cls,
        scale: str,
        out: Path,
        tables: Sequence[str] = ("main",),
        pairs: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        given: Sequence[str] = (),
    ) -> Plan:
        """Raises SoliError for what no yaml has, and for a seed that is given twice."""
        if scale not in SCALES:
            raise SoliError(f"scale={scale} is unknown{nearest(scale, SCALES)}: choose one of {', '.join(SCALES)}.")
        about = _read(HERE / f"{scale}.yaml")
        known = _read(HERE / "tables.yaml")
        all_pairs = {name: _pair(name, entries) for name, entries in about["pairs"].items()}
        chosen = _chosen("--tables", tables, known["tables"])
        prefixes = sorted({prefix for override in given for prefix in _parted(override)[0]})
        _chosen("the prefix of an override", prefixes, {**all_pairs, "start": None, "rows": None})
        seeds = tuple(about["seeds"] if seeds is None else seeds)
        if len(set(seeds)) < len(seeds) or not seeds:
            raise SoliError(f"--seeds {' '.join(map(str, seeds))}: give one at least, and each once.")
        return cls(
            scale,
            out,
            tuple(_chosen("--pairs", list(all_pairs) if pairs is None else pairs, all_pairs).values()),
            {name: tuple(rows) for name, rows in chosen.items()},
            {name: tuple(overrides) for name, overrides in known["rows"].items()},
            tuple(known["controls"]),
            seeds,
            tuple(about["conditions"]),
            tuple(about["unseen"]),
            (*about["data"], *about.get("common", ())),
            tuple(given),
        )

    def trainings(self) -> list[Training]:
        """The starts of all pairs and seeds, then the rows of all tables, those of a seed together."""
        return [
            training
            for seed in self.seeds
            for pair in self.pairs
            for training in (self._start(pair, seed), *(self._row(pair, row, seed) for row in self.all_rows()))
        ]

    def all_rows(self) -> list[str]:
        """The names of the rows of all tables, each once."""
        return list(dict.fromkeys(row for of_table in self.tables.values() for row in of_table))

    def runs(self, pair: Pair, row: str) -> list[Path]:
        """The folders of a row, one for each seed."""
        return [self.out / pair.name / f"{row}_{seed}" for seed in self.seeds]

    def evaluated(self, pair: Pair) -> list[str]:
        """Overrides of soli.evaluate that the user's of soli.train bring with them."""
        keys = ("dataset.root=", "generation.", "runtime.device=", "runtime.workers=")
        return [override for _, override in self._given(pair.name, "rows") if override.startswith(keys)]

    def _start(self, pair: Pair, seed: int) -> Training:
        given = [override for _, override in self._given(pair.name, "start")]
        overrides = (*pair.start, *self.data, *given, f"seed={seed}")
        return Training(self.out / pair.name / f"start_{seed}", overrides)

    def _row(self, pair: Pair, row: str, seed: int) -> Training:
        own = self.rows[row]
        (variant,) = (override.removeprefix("variant=") for override in own if override.startswith("variant="))
        given = [
            override
            for prefixes, override in self._given(pair.name, "rows")
            if "rows" in prefixes or override.partition("=")[0] not in pair.start_only
        ]
        common = [override.replace("{variant}", variant) for override in pair.rows]
        start = self.out / pair.name / f"start_{seed}"
        overrides = (*common, *self.data, *own, *given, f"init_from={start}", f"seed={seed}")
        return Training(self.out / pair.name / f"{row}_{seed}", overrides, start)

    def _given(self, *holding: str) -> list[tuple[set[str], str]]:
        """The user's overrides all of whose prefixes are among these: the prefixes, and the override without them."""
        return [(prefixes, override) for prefixes, override in map(_parted, self.given) if prefixes <= set(holding)]


def _pair(name: str, entries: Mapping[str, Any]) -> Pair:
    return Pair(name, entries["title"], tuple(entries["start"]), tuple(entries["rows"]), tuple(entries.get("start_only", ())))


def _parted(override: str) -> tuple[set[str], str]:
    """The prefixes of an override, and what follows them."""
    *prefixes, _ = override.partition("=")[0].split(":")
    return set(prefixes), override[sum(len(prefix) + 1 for prefix in prefixes) :]


def _chosen(what: str, names: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    for name in names:
        if name not in known:
            raise SoliError(f"{what}: {name} is unknown{nearest(name, known)}: choose of {', '.join(known)}.")
    return {name: known[name] for name in names}


def _read(path: Path) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
