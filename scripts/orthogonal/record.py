"""sweep.json: which search a folder holds, so that the same command goes on and another one is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orthogonal.search import Round

from soli.evaluation.writing import write_whole
from soli.interfaces import SoliError
from soli.json_text import read_object


class Record:
    """The command of the search in `out`, and the ranges that its rounds had. Nothing is written before `remember`.

    `scoring` is the part of the command that only counts once a round has been scored: a score that no run has can be mended.
    """

    def __init__(self, out: Path, command: Mapping[str, str], scoring: Mapping[str, str]) -> None:
        """Raises SoliError that names what differs where another search lies in `out`."""
        self.path = out / "sweep.json"
        self.command, self.scoring = dict(command), dict(scoring)
        self.rounds: list[list[str]] = []
        self.is_scored = False
        if out.exists() and not out.is_dir():
            raise SoliError(f"--out {out} is a file: give a folder, new or of an earlier search.")
        if not self.path.exists():
            if (out / "round1").exists():
                raise SoliError(f"{out} holds round1, but no sweep.json that says of which search: give another --out.")
            return
        earlier = _read(self.path)
        self.rounds, self.is_scored = earlier["rounds"], earlier["scoring"] is not None
        before = earlier["command"] | (earlier["scoring"] or self.scoring)
        now = self.command | self.scoring
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if keys:
            shown = "; ".join(f"{key} was {before.get(key, 'absent')}, is {now.get(key, 'absent')}" for key in keys)
            raise SoliError(f"{out} holds another search: {shown}. Give the same command to go on, or another --out.")

    def remember(self, of_round: Round) -> None:
        """Writes down that a round begins. Raises SoliError where it had begun with other ranges."""
        decided = [f"{key}={value}" for key, value in of_round.decided.items()]
        ranges = [*map(str, of_round.factors), *decided, f"in {len(of_round.rows)} runs"]
        before = self.rounds[of_round.number - 1 : of_round.number]
        if before and before != [ranges]:
            raise SoliError(
                f"Round {of_round.number} had begun with {' '.join(before[0])}, and the scores of earlier runs now lead to "
                f"{' '.join(ranges)}: they have changed since. Remove {self.path.parent / f'round{of_round.number}'} and later rounds, "
                f"and these from {self.path}, or give another --out."
            )
        if not before:
            self.rounds.append(ranges)
        self._write()

    def scored(self) -> None:
        """Writes down that the runs of a round have their scores."""
        if not self.is_scored:
            self.is_scored = True
            self._write()

    def _write(self) -> None:
        content = {"command": self.command, "scoring": self.scoring if self.is_scored else None, "rounds": self.rounds}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(content, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = read_object(path)
        if not isinstance(found["command"], dict) or not isinstance(found["rounds"], list) or not isinstance(found["scoring"], dict | None):
            raise ValueError("it is not of a search")
        return found
    except (ValueError, KeyError) as reason:
        raise SoliError(f"{path} is damaged ({reason}): restore it, or give another --out.") from reason
