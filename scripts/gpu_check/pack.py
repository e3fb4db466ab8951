"""Small copies of Flickr8k, to be carried to a machine that has a GPU and no network: as many photographs as fit, with their captions.

python scripts/gpu_check/pack.py --photographs <root of Flickr8k> --to <ignored folder> [--megabytes 40] [--side 160] [--quality 75]

The copies have a longer side of 160 pixels. Training, validation and test photographs are taken in proportion, the first of each split. The
folder gets images/ and dataset_flickr8k.json, which dataset=flickr8k reads; train with dataset.reference_side=500. It must lie where Git
ignores it, for photographs are not to be committed.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from section import stop

from soli.datasets import Flickr8kDataset
from soli.interfaces import Example, SoliError

BLOCK = 512  # bytes, of which an archive uses whole ones, and one more for each file's name


def main() -> None:
    given = read_arguments()
    try:
        dataset = Flickr8kDataset(str(given.photographs))
        entries = pack(dataset, given.to, given.megabytes * 2**20, given.side, given.quality)
    except SoliError as reason:
        stop(str(reason))
    counts = Counter(entry["split"] for entry in entries)
    size = sum(path.stat().st_size for path in given.to.rglob("*") if path.is_file())
    print(f"{len(entries)} photographs in {given.to}: {', '.join(f'{number} {split}' for split, number in counts.items())}")
    print(f"{size / 2**20:.1f} MiB, of at most {given.megabytes:g}; train with dataset.root={given.to} dataset.reference_side=500")


def read_arguments() -> argparse.Namespace:
    """Ends the program with a sentence for what cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="a root of Flickr8k")
    parser.add_argument("--to", type=Path, required=True, help="a folder that does not exist, or is empty")
    parser.add_argument("--megabytes", type=float, default=40, help="the most that the folder may take")
    parser.add_argument("--side", type=int, default=160, help="the longer side of the copies, in pixels")
    parser.add_argument("--quality", type=int, default=75, help="of JPEG, 1 to 95")
    given = parser.parse_args()
    if given.to.exists() and (not given.to.is_dir() or any(given.to.iterdir())):
        stop(f"--to={given.to} is there already: give a new folder, or an empty one.")
    if not (given.megabytes > 0 and given.side >= 16 and 1 <= given.quality <= 95):
        stop("--megabytes must be above 0, --side at least 16, --quality from 1 to 95.")
    if would_be_committed(given.to):
        stop(f"--to={given.to} is not ignored by Git: photographs are not to be committed. Give a folder under data/ or build/.")
    return given


def would_be_committed(folder: Path) -> bool:
    """Whether the folder lies in a Git checkout that does not ignore what would be in it."""
    existing = next(parent for parent in folder.resolve().parents if parent.is_dir())
    photograph = folder.resolve() / "images" / "a.jpg"
    try:
        command = ["git", "-C", str(existing), "check-ignore", "--quiet", str(photograph)]
        return subprocess.run(command, capture_output=True).returncode == 1  # 0: ignored, 128: no checkout
    except OSError:  # no Git here
        return False


def pack(dataset: Flickr8kDataset, folder: Path, most_bytes: float, side: int, quality: int) -> list[dict]:
    """Writes copies until the next would be too much. Returns their entries of the JSON file; raises SoliError where not even one fits."""
    entries: list[dict] = []
    used = 4 * BLOCK
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for split, example in in_proportion(dataset):
        content = encode(Image.fromarray(dataset.read_image(example)), side, quality)
        entry = {
            "filename": Path(example.image_id).with_suffix(".jpg").name,
            "split": split,
            "sentences": [{"raw": caption} for caption in example.captions],
        }
        used += len(json.dumps(entry)) + 2 + BLOCK + -(-len(content) // BLOCK) * BLOCK
        if used > most_bytes:
            break
        (folder / "images" / entry["filename"]).write_bytes(content)
        entries.append(entry)
    if not entries:
        raise SoliError("Not even one photograph fits: give more --megabytes.")
    (folder / "dataset_flickr8k.json").write_text(json.dumps({"dataset": "flickr8k", "images": entries}), encoding="utf-8")
    return entries


def in_proportion(dataset: Flickr8kDataset) -> Iterator[tuple[str, Example]]:
    """All photographs with their splits, such that the first so many have the splits' shares, and at least one of each split."""
    places = []
    for split in dataset.splits:
        examples = dataset.examples(split)
        places += [(number / len(examples), split, example) for number, example in enumerate(examples)]
    for _, split, example in sorted(places, key=lambda place: place[:2]):
        yield split, example


def encode(photograph: Image.Image, side: int, quality: int) -> bytes:
    """A JPEG file of the photograph, its longer side `side` pixels where it was longer."""
    scale = min(1.0, side / max(photograph.size))
    size = [max(1, round(length * scale)) for length in photograph.size]
    buffer = io.BytesIO()
    photograph.resize(size, Image.Resampling.LANCZOS).save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
