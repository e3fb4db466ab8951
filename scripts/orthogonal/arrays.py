"""Orthogonal arrays of strength 2: few runs in which any two factors meet at every pair of levels equally often.

Two levels: Hadamard matrices, Sylvester's of 4, 8 and 16 rows and Paley's of 12. Three levels: the linear codes over GF(3) whose columns
are the points of a projective line (9 runs) or plane (27 runs), and for 18 runs a difference scheme, with a column that counts its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from soli.interfaces import SoliError


def sizes(levels: int) -> dict[int, int]:
    """Runs of each array of so many levels, and how many factors it holds."""
    return {runs: most for runs, (most, _) in _ARRAYS[levels].items()}


def design(num_factors: int, levels: int, num_runs: int | None = None) -> np.ndarray:
    """(runs, num_factors) of levels from 0 on: the first columns of the smallest array that holds them, or of that with `num_runs`.

    Three factors of two levels get 8 runs unless 4 are asked for: there each effect is that of the two others together as well.

    Raises SoliError for levels, factors and runs that no array here has.
    """
    if levels not in _ARRAYS:
        raise SoliError(f"--levels {levels}: there are arrays of 2 and of 3 levels.")
    held = sizes(levels)
    allowed = [runs for runs, most in held.items() if num_factors <= most]
    if num_factors < 1 or not allowed:
        raise SoliError(f"{num_factors} factors: arrays of {levels} levels hold 1 to {max(held.values())}. Leave some at one value.")
    if num_runs is not None and num_runs not in allowed:
        raise SoliError(f"--runs {num_runs}: {num_factors} factors of {levels} levels take {', '.join(map(str, allowed))} runs.")
    smallest = next(runs for runs in allowed if (runs, num_factors) != (4, 3))
    _, make = _ARRAYS[levels][num_runs or smallest]
    return make()[:, :num_factors]


def _sylvester(bits: int) -> np.ndarray:
    """2^bits runs: column c of run r is the parity of the bits that both have.

    Single bits come first, then other odd numbers of bits: among these no column is the sum of two, so that the effects of up to half as
    many factors as there are runs are not mixed with what pairs of them do (resolution IV).
    """
    columns = sorted(range(1, 2**bits), key=lambda column: (column.bit_count() % 2 == 0, column.bit_count(), column))
    return np.array([[(run & column).bit_count() % 2 for column in columns] for run in range(2**bits)])


def _paley() -> np.ndarray:
    """12 runs: I + S of the squares modulo 11, each row times its first sign, without the first column."""
    squares = {number**2 % 11 for number in range(1, 11)}
    signs = [[0 if row == column else 1 if (row - column) % 11 in squares else -1 for column in range(11)] for row in range(11)]
    skew = np.block([[np.zeros((1, 1), int), np.ones((1, 11), int)], [-np.ones((11, 1), int), np.array(signs)]])
    hadamard = np.eye(12, dtype=int) + skew
    return (1 - (hadamard * hadamard[:, :1])[:, 1:]) // 2


def _projective(dimension: int) -> np.ndarray:
    """3^dimension runs: all words of the code whose columns are the points of a projective space, first those of no line of three."""
    points = [point for point in product(range(3), repeat=dimension) if next((entry for entry in point if entry), 0) == 1]
    points.sort(key=lambda point: (sum(map(bool, point)) not in (1, dimension) or 2 in point, sum(map(bool, point)), point[::-1]))
    return np.array(list(product(range(3), repeat=dimension))) @ np.array(points).T % 3


def _eighteen() -> np.ndarray:
    """18 runs: a difference scheme of 6 x 6 over GF(3) plus every constant, and the row's second index.

    Its entry at ((a, x), (b, y)) is c x y + d x^2 + e y^2 with constants of a and b. The difference of two columns has every element twice:
    for the same b it is linear in x; for others a square where a = 0, twice a square where a = 1, both plus the same number.
    """
    c, d, e = ((1, 1), (1, 2)), ((1, 0), (2, 0)), ((0, 0), (1, 2))
    places = list(product(range(2), range(3)))
    scheme = [[c[a][b] * x * y + d[a][b] * x * x + e[a][b] * y * y for b, y in places] for a, x in places]
    rows = [([(entry + constant) % 3 for entry in row], x) for row, (_, x) in zip(scheme, places, strict=True) for constant in range(3)]
    return np.array([[*entries, x] for entries, x in rows])


def _line(levels: int) -> np.ndarray:
    return np.arange(levels)[:, None]


_ARRAYS: dict[int, dict[int, tuple[int, Callable[[], np.ndarray]]]] = {
    2: {
        2: (1, lambda: _line(2)),
        4: (3, lambda: _sylvester(2)),
        8: (7, lambda: _sylvester(3)),
        12: (11, _paley),
        16: (15, lambda: _sylvester(4)),
    },
    3: {3: (1, lambda: _line(3)), 9: (4, lambda: _projective(2)), 18: (7, _eighteen), 27: (13, lambda: _projective(3))},
}
