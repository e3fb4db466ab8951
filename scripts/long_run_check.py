"""Whether a long training grows: memory, open files, threads and processes of three trainings of 2,000 steps on drawn pictures.

python scripts/long_run_check.py [--steps 2000] [--only baseline] [--output FILE]

Each training is a process of its own on one thread, looked at from outside ten times a second, on Linux. After a warm-up of a quarter of
the steps the first third of the rest is compared with the last: medians of memory, of the training process and of its tree (METEOR's Java,
the workers), which may grow by two per cent, and the fewest files, threads and processes, which may not grow. Prints a table and JSON; the
exit code is 1 when something grew. Takes some six minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "long_run"))
from growth import compare, grown, table
from process_tree import Sample, watch

TINY = (
    *("dataset.num_train=160", "dataset.num_val=8", "dataset.num_test=4", "vocabulary.min_count=1", "loader.batch_size=8"),
    *("encoder.feature_dim=32", "encoder.input_size=32", "decoder.hidden_dim=32", "decoder.attention_dim=16", "decoder.embedding_dim=16"),
    *("text_encoder.word_dim=16", "text_encoder.hidden_dim=32", "joint.dim=32", "degradation=toy", "runtime.threads=1"),
    *("validation.every_epochs=2", "logging.every_steps=5"),
)
TRAININGS = {
    "baseline": ("variant=baseline", "runtime.workers=1"),
    "par": ("variant=par", "siamese.anchor=ema", "negatives=clustered", "negatives.num_clusters=8", "negatives.length=8"),
    "matching": ("variant=matching", "matching=cmns", "matching.negatives.num_clusters=8", "features.cache={folder}/cache"),
}
TRAIN = [sys.executable, str(Path(__file__).parent / "long_run" / "training.py")]


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.only or TRAININGS:
            folder = Path(scratch) / name
            overrides = [text.format(folder=folder) for text in (*TINY, *TRAININGS[name])]
            samples = measure([*TRAIN, name, *overrides, "epochs=1000000", f"runtime.max_steps={given.steps}"], folder)
            results[name] = {"samples": len(samples), "rows": compare(samples, given.steps)}
            print(f"{name}: {samples[-1].step} steps, {len(samples)} looks", flush=True)
    print(table(results))
    report = {"steps": given.steps, "trainings": results, "grown": grown(results)}
    text = json.dumps(report, indent=2)
    print(text)
    if given.output:
        given.output.write_text(text + "\n", encoding="utf-8")
    for sentence in report["grown"]:
        print(f"It grows: {sentence}")
    return 1 if report["grown"] else 0


def measure(command: Sequence[str], folder: Path, interval: float = 0.1) -> list[Sample]:
    """Runs a training into the run folder `folder` and looks at it. Raises RuntimeError with what it said when it fails."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([*command, f"run_dir={folder}"], stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        try:
            samples = watch(process, folder / "metrics.jsonl", interval)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed: {said.read()[-2000:]}")
    return samples


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of each training")
    parser.add_argument("--only", action="append", choices=TRAININGS, help="one training; may be given again")
    parser.add_argument("--output", type=Path, help="a file for the JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
