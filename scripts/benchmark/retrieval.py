"""How fast retrieval is ranked, against the loops of the published evaluations: 1,000 images, 5,000 captions, one thread.

python scripts/benchmark/retrieval.py [--quick] [--output FILE]

The peer sorts the captions of each image and the images of each caption (numpy.argsort) and looks for the true ones. Similarities are
random, without ties. Prints JSON and a table: medians of wall time and of CPU time.
"""

from __future__ import annotations

import numpy as np
import torch
from timing import race, read_arguments, report

from soli.evaluation import rank_metrics
from soli.version import __version__


def main() -> None:
    given = read_arguments(__doc__, quick="two repeats instead of seven")
    torch.set_num_threads(1)
    similarity = np.random.default_rng(0).normal(size=(1000, 5000)).astype(np.float32)
    owner = np.repeat(np.arange(1000), 5)
    ours, peer = rank_metrics(similarity, owner), by_sorting(similarity, owner)
    assert all(abs(ours[name] - value) < 1e-9 for name, value in peer.items()), "the scores differ"
    times = race(lambda: rank_metrics(similarity, owner), lambda: by_sorting(similarity, owner), repeats=2 if given.quick else 7)
    seconds = {way: times["seconds"][way]["wall"]["median"] for way in ("ours", "peer")}
    table = (
        f"{'seconds':24}{'ours':>8}{'peer':>10}{'times as fast':>16}{'in CPU time':>13}\n"
        f"{'1,000 x 5,000':24}{seconds['ours']:8.3f}{seconds['peer']:10.3f}{times['speedup']['wall']:16.1f}{times['speedup']['cpu']:13.1f}"
    )
    versions = {"soli": __version__, "torch": torch.__version__, "numpy": np.__version__}
    report([{"name": "1,000 x 5,000", **times}], table, versions, given.output, threads=1)


def by_sorting(similarity: np.ndarray, owner: np.ndarray) -> dict[str, float]:
    by_image = [np.flatnonzero(owner[np.argsort(row)[::-1]] == image)[0] for image, row in enumerate(similarity)]
    by_caption = [np.flatnonzero(np.argsort(column)[::-1] == image)[0] for column, image in zip(similarity.T, owner, strict=True)]
    return {
        f"{name}_R@{k}": float((np.array(ranks) < k).mean()) for name, ranks in (("i2t", by_image), ("t2i", by_caption)) for k in (1, 5, 10)
    }


if __name__ == "__main__":
    main()
