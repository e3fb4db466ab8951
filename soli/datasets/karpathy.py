"""Caption files of the kind dataset_flickr8k.json: the splits of Flickr8k, Flickr30k and MS COCO by Karpathy and Fei-Fei (CVPR 2015)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from soli.datasets.photographs import PhotographDataset
from soli.datasets.records import SPLITS, Record, counted, find_file, find_root, read_text
from soli.interfaces import SoliError
from soli.json_text import parse_json
from soli.printing import short

FOLDERS = {
    "flickr8k": ("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset"),
    "flickr30k": ("images", "Images", "flickr30k-images", "flickr30k_images"),
    "coco": ("images", "."),  # a photograph's own folder (train2014, val2014) follows
}


class KarpathyDataset(PhotographDataset):
    """Flickr30k, COCO, or another dataset with a JSON file of that kind.

    Args:
        name: "flickr30k", "coco", or a name of your own.
        root: the folder with the JSON file and the photographs, in `images` or in the folder that the dataset's archive unpacks to.
        annotations: the JSON file, relative to root; None: dataset_<name>.json.
        restval: whether COCO's 30,504 photographs of the split "restval" count as training photographs, as is usual.
        limit: only the first so many photographs of each split.
        reference_side: the longer side of the originals in pixels, if the photographs were shrunk before; else None.
        partial: whether photographs whose file is missing are left out; otherwise they are a mistake.

    Raises:
        SoliError: a folder or file is missing, the JSON file is broken, and as PhotographDataset.
    """

    def __init__(
        self,
        name: str,
        root: str | None = None,
        annotations: str | None = None,
        restval: bool = True,
        limit: int | None = None,
        reference_side: int | None = None,
        partial: bool = False,
    ) -> None:
        folder = find_root(root, name)
        names = (annotations,) if annotations is not None else (f"dataset_{name}.json", f"annotations/dataset_{name}.json")
        source = find_file(folder, names, "caption file")
        notices: list[str] = []
        records = read_karpathy(source, notices, restval)
        image_folders = [folder / image_folder for image_folder in FOLDERS.get(name, ("images", "."))]
        super().__init__(name, source, records, image_folders, limit, reference_side, notices, partial)


def read_karpathy(path: Path, notices: list[str], restval: bool = True) -> list[Record]:
    """The records of a JSON file of Karpathy's kind. Raises SoliError for broken JSON, missing keys and unknown splits."""
    try:
        images = parse_json(read_text(path))["images"]
        records = [_record(image) for image in images]
    except json.JSONDecodeError as error:
        raise SoliError(f"{path}, line {error.lineno}: the JSON is broken ({error.msg}): download or unpack it again.") from error
    except SoliError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SoliError(
            f"{path} is no caption file of Karpathy's kind: it needs images with filename, split and sentences with raw."
        ) from error
    unknown = Counter(record.split for record in records) - Counter({split: len(records) for split in (*SPLITS, "restval")})
    if unknown:
        raise SoliError(f"{path} has the split {short(next(iter(unknown)))!r}; allowed are {', '.join(SPLITS)} and restval.")
    num_restval = sum(record.split == "restval" for record in records)
    if num_restval and restval:
        notices.append(f"{counted(num_restval, 'photograph')} of the split restval used for training.")
    splits = {"restval": "train" if restval else None}
    return [Record(record.image, splits.get(record.split, record.split), record.captions) for record in records]


def _record(image: dict) -> Record:
    """Raises KeyError, TypeError and AttributeError for what is missing or no text."""
    name = "/".join(filter(None, (image.get("filepath"), image["filename"])))
    captions = tuple(sentence["raw"] for sentence in image["sentences"])
    if not all(isinstance(text, str) for text in (image["filename"], image["split"], *captions)):
        raise TypeError("filename, split and raw are texts")
    return Record(name, image["split"], captions)
