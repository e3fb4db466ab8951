"""What is known of the datasets: how many photographs they have, how these are named, which files say what, and where they are had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from soli.datasets.flickr_text import SPLIT_LISTS

KARPATHY = (
    "caption_datasets.zip by Andrej Karpathy, on https://cs.stanford.edu/people/karpathy/deepimagesent/ (its dataset_{name}.json is enough)"
)


@dataclass(frozen=True)
class Facts:
    """Of a dataset.

    `photographs` are in its archives, `splits` and `captions` those that training and evaluation use; `pattern` is what its photographs
    are called; `image_folders` where soli looks for them; `files` what each kind of caption file is called in the prepared folder;
    `archives` what its archives are called; `where` its photographs and captions are had.
    """

    name: str
    title: str
    photographs: int
    splits: Mapping[str, int]
    captions: Mapping[str, int]
    pattern: re.Pattern[str]
    image_folders: tuple[str, ...]
    files: Mapping[str, str]
    archives: re.Pattern[str]
    where: Mapping[str, str]


FLICKR8K = Facts(
    name="flickr8k",
    title="Flickr8k",
    photographs=8091,
    splits={"train": 6000, "val": 1000, "test": 1000},
    captions={"train": 30_000, "val": 5000, "test": 5000},
    pattern=re.compile(r"\d+_[0-9a-f]{10}\.jpg"),
    image_folders=("images", "Images", "Flicker8k_Dataset", "Flickr8k_Dataset"),
    files={"karpathy": "dataset_flickr8k.json", "token": "Flickr8k.token.txt", "kaggle": "captions.txt", **SPLIT_LISTS},
    archives=re.compile(r"flickr8k|flicker8k|caption_?datasets", re.IGNORECASE),
    where={
        "photographs": "Flickr8k_Dataset.zip by the University of Illinois (a form leads to it, on "
        "https://hockenmaier.cs.illinois.edu/8k-pictures.html), or Kaggle's archive (https://www.kaggle.com/datasets/adityajn105/flickr8k)",
        "captions": f"{KARPATHY.format(name='flickr8k')}; or Flickr8k_text.zip, from where the photographs are; or Kaggle's captions.txt",
        "splits": "Flickr_8k.trainImages.txt, .devImages.txt and .testImages.txt in Flickr8k_text.zip; or "
        f"{KARPATHY.format(name='flickr8k')}",
    },
)
FLICKR30K = Facts(
    name="flickr30k",
    title="Flickr30k",
    photographs=31_783,
    splits={"train": 29_000, "val": 1014, "test": 1000},
    captions={"train": 145_000, "val": 5070, "test": 5000},
    pattern=re.compile(r"[1-9]\d{3,10}\.jpg"),
    image_folders=("images", "Images", "flickr30k-images", "flickr30k_images"),
    files={"karpathy": "dataset_flickr30k.json"},
    archives=re.compile(r"flickr-?30k|flickr-image-dataset|caption_?datasets", re.IGNORECASE),
    where={
        "photographs": "flickr30k-images.tar.gz by the University of Illinois (a form leads to it, on "
        "https://shannon.cs.illinois.edu/DenotationGraph/), or Kaggle's archive "
        "(https://www.kaggle.com/datasets/hsankesara/flickr-image-dataset)",
        "captions": KARPATHY.format(name="flickr30k"),
    },
)
COCO = Facts(
    name="coco",
    title="MS COCO",
    photographs=123_287,
    splits={"train": 113_287, "val": 5000, "test": 5000},
    captions={"train": 566_747, "val": 25_010, "test": 25_010},
    pattern=re.compile(r"COCO_(train|val)2014_\d{12}\.jpg|0\d{11}\.jpg"),
    image_folders=("images", "."),
    files={"karpathy": "dataset_coco.json"},
    archives=re.compile(r"(train|val)20(14|17)|annotations_trainval|caption_?datasets|coco", re.IGNORECASE),
    where={
        "photographs": "train2014.zip (82,783 photographs) and val2014.zip (40,504), or train2017.zip and val2017.zip, which have the same "
        "ones, on https://cocodataset.org/#download",
        "captions": KARPATHY.format(name="coco"),
    },
)
DATASETS = {facts.name: facts for facts in (FLICKR8K, FLICKR30K, COCO)}


def dataset_of(photograph: str) -> Facts | None:
    """Whose photographs have such names."""
    return next((facts for facts in DATASETS.values() if facts.pattern.fullmatch(photograph)), None)
