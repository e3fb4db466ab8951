"""Flickr8k (Hodosh et al., 2013) from whichever caption files are there: 6,000 training, 1,000 validation and 1,000 test photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from soli.datasets.flickr_text import FOLDERS as TEXT_FOLDERS
from soli.datasets.flickr_text import join, read_kaggle_file, read_split_lists, read_token_file
from soli.datasets.karpathy import FOLDERS, read_karpathy
from soli.datasets.photographs import PhotographDataset
from soli.datasets.records import Record, find_file, find_root
from soli.interfaces import SoliError

FILES = {"karpathy": "dataset_flickr8k.json", "token": "Flickr8k.token.txt", "kaggle": "captions.txt"}


class Flickr8kDataset(PhotographDataset):
    """Flickr8k. The three kinds of caption files give the same photographs in the same order with the same captions.

    Args:
        root: the folder with the caption files and the photographs, in images, Images or Flicker8k_Dataset.
        annotations: "karpathy" (dataset_flickr8k.json), "token" (Flickr8k.token.txt and the split lists), "kaggle" (captions.txt and the
            split lists), or "auto", the first of these that is there.
        limit: only the first so many photographs of each split.
        reference_side: the longer side of the originals in pixels (500), if the photographs were shrunk before; else None.
        partial: whether photographs whose file is missing are left out; otherwise they are a mistake.

    Raises:
        SoliError: a folder or file is missing or broken, and as PhotographDataset.
    """

    def __init__(
        self,
        root: str | None = None,
        annotations: Literal["auto", "karpathy", "token", "kaggle"] = "auto",
        limit: int | None = None,
        reference_side: int | None = None,
        partial: bool = False,
    ) -> None:
        folder = find_root(root, "flickr8k")
        kind, source = _find_annotations(folder, annotations)
        notices: list[str] = []
        records = _read(folder, kind, source, notices)
        image_folders = [folder / image_folder for image_folder in FOLDERS["flickr8k"]]
        super().__init__("flickr8k", source, records, image_folders, limit, reference_side, notices, partial)


def _find_annotations(root: Path, annotations: str) -> tuple[str, Path]:
    if annotations not in ("auto", *FILES):
        raise SoliError(f"dataset.annotations is {annotations!r}; allowed are auto, {', '.join(FILES)}.")
    kinds = list(FILES) if annotations == "auto" else [annotations]
    places = [place + FILES[kind] for kind in kinds for place in TEXT_FOLDERS]
    source = find_file(root, places, "caption file")
    return next(kind for kind, name in FILES.items() if name == source.name), source


def _read(root: Path, kind: str, source: Path, notices: list[str]) -> list[Record]:
    if kind == "karpathy":
        return read_karpathy(source, notices)
    captions = read_token_file(source) if kind == "token" else read_kaggle_file(source)
    return join(captions, read_split_lists(root))
