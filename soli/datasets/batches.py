"""What training iterates over: batches of photographs with all their captions, in an order that is a function of (seed, epoch) only."""

from __future__ import annotations

import copy
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from soli.datasets.workers import follow_parent, items_of
from soli.interfaces import CaptionDataset, Example, SoliError, Tokenizer


@dataclass(frozen=True)
class Batch:
    """B photographs with their captions.

    `images`: uint8 tensors (3, Hi, Wi), each of its own size. `tokens`: ids (B, C, T), filled up with pad_id; a photograph with fewer
    captions than another has rows of nothing but pad_id. `indices`: places in CaptionedImages.examples. `keys`: equal for photographs
    with the same pixels, and else different (63 bits of a hash).
    """

    images: list[Tensor]
    tokens: Tensor
    indices: list[int]
    keys: list[int]


class CaptionedImages(Dataset):
    """The photographs of a split with the token ids of their captions.

    Captions are encoded when they are first asked for, and kept. Raises SoliError for a split without photographs.
    """

    def __init__(self, dataset: CaptionDataset, split: str, tokenizer: Tokenizer, max_tokens: int | None = None) -> None:
        """`max_tokens` is the most tokens of a caption, start and end included; None: no limit."""
        self.dataset, self.tokenizer, self.max_tokens = dataset, tokenizer, max_tokens
        self.examples: Sequence[Example] = dataset.examples(split)
        self._token_ids: dict[str, list[list[int]]] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, list[list[int]], int]:
        """Photograph uint8 (3, H, W), token ids of each caption, index. Raises SoliError for a photograph that cannot be read."""
        return self.image(index), self.token_ids(index), index

    def image(self, index: int) -> Tensor:
        """The photograph, uint8 (3, H, W)."""
        return torch.from_numpy(np.ascontiguousarray(self.dataset.read_image(self.examples[index]).transpose(2, 0, 1)))

    def token_ids(self, index: int) -> list[list[int]]:
        """The token ids of each caption of a photograph."""
        example = self.examples[index]
        if example.image_id not in self._token_ids:
            self._token_ids[example.image_id] = [self.tokenizer.encode(caption, self.max_tokens) for caption in example.captions]
        return self._token_ids[example.image_id]

    @cached_property
    def first_captions(self) -> list[int]:
        """The number of each photograph's first caption among all captions, and at the end how many these are."""
        return [0, *accumulate(len(example.captions) for example in self.examples)]

    def photograph_of(self, caption: int) -> tuple[int, int]:
        """Of a caption's number among all captions: the index of its photograph, and which of that one's captions it is."""
        index = bisect_right(self.first_captions, caption) - 1
        return index, caption - self.first_captions[index]

    def first(self, number: int) -> CaptionedImages:
        """The first so many photographs."""
        fewer = copy.copy(self)
        fewer.examples = self.examples[:number]
        fewer.__dict__.pop("first_captions", None)
        return fewer


def collate(items: Sequence[tuple[Tensor, list[list[int]], int]], pad_id: int) -> Batch:
    """Items of CaptionedImages as a batch."""
    images, token_ids, indices = zip(*items, strict=True)
    return Batch(list(images), pad(token_ids, pad_id), list(indices), [_key(image.numpy()) for image in images])


def pad(token_ids: Sequence[Sequence[Sequence[int]]], pad_id: int) -> Tensor:
    """Token ids of the captions of B photographs -> (B, C, T), C and T the most that any of them has."""
    num_captions = max(len(captions) for captions in token_ids)
    length = max(len(ids) for captions in token_ids for ids in captions)
    tokens = torch.full((len(token_ids), num_captions, length), pad_id, dtype=torch.long)
    for row, captions in enumerate(token_ids):
        for column, ids in enumerate(captions):
            tokens[row, column, : len(ids)] = torch.tensor(ids)
    return tokens


def epoch_order(num_examples: int, seed: int, epoch: int) -> list[int]:
    """A permutation of range(num_examples) that depends on these arguments only, on every machine."""
    key = hashlib.sha256(f"{seed}/{epoch}".encode()).digest()
    numbers = np.random.PCG64(int.from_bytes(key, "big")).random_raw(num_examples)  # this stream never changes, unlike Generator's methods
    return np.argsort(numbers, kind="stable").tolist()


def batches(data: CaptionedImages, plan: Sequence[Sequence[int]], workers: int = 0, pinned: bool = False) -> Iterator[Batch]:
    """The batches of a plan (the indices of each), decoded by so many worker processes; 0: in this process.

    `pinned` photographs lie in page-locked memory, from which CUDA devices copy them while they compute.
    To resume, give what remains of the plan: nothing before it is decoded. The batches do not depend on the number of workers, and
    the random state of PyTorch is left as it is. The workers have ended with the last batch, or when the iterator is closed.

    Raises:
        SoliError: a photograph that cannot be read, a worker that was killed, or a negative number of workers.
    """
    if workers < 0:
        raise SoliError(f"runtime.workers is {workers}: give a number of processes from 0 on.")
    if not plan:
        return
    loader = DataLoader(
        _Photographs(data.dataset, data.examples),
        sampler=plan,
        batch_size=None,
        num_workers=min(workers, len(plan)),
        collate_fn=_unchanged,
        generator=torch.Generator(),
        pin_memory=pinned,
        worker_init_fn=follow_parent,
    )
    for indices, photographs in zip(plan, items_of(loader, len(plan)), strict=True):
        if isinstance(photographs, SoliError):
            raise photographs
        tokens = pad([data.token_ids(index) for index in indices], data.tokenizer.pad_id)
        buffer, sizes, keys = photographs
        yield Batch(_unpacked(buffer, sizes), tokens, list(indices), keys)


def unseen_batches(data: CaptionedImages, plan: Sequence[Sequence[int]], key: Callable[[Example], int]) -> Iterator[Batch]:
    """The batches of a plan without their photographs, for what has seen these before; `key` gives that of a photograph."""
    for indices in plan:
        tokens = pad([data.token_ids(index) for index in indices], data.tokenizer.pad_id)
        yield Batch([], tokens, list(indices), [key(data.examples[index]) for index in indices])


class _Photographs(Dataset):
    """The photographs of a list of indices, in one buffer: a worker hands over one block of shared memory, not one per photograph."""

    def __init__(self, dataset: CaptionDataset, examples: Sequence[Example]) -> None:
        self.dataset, self.examples = dataset, examples

    def __getitem__(self, indices: Sequence[int]) -> tuple[Tensor, list[tuple[int, int]], list[int]] | SoliError:
        """A SoliError is returned, not raised: a worker would wrap it in its traceback."""
        try:
            images = [self.dataset.read_image(self.examples[index]) for index in indices]
        except SoliError as error:
            return SoliError(str(error))
        planes = [np.ascontiguousarray(image.transpose(2, 0, 1)) for image in images]
        buffer = np.concatenate([plane.reshape(-1) for plane in planes])
        return torch.from_numpy(buffer), [image.shape[:2] for image in images], [_key(plane) for plane in planes]


def _key(planes: np.ndarray) -> int:
    """Of a photograph (3, H, W): 63 bits of a hash of its sides and pixels."""
    digest = hashlib.sha256(str(planes.shape).encode())
    digest.update(planes)
    return int.from_bytes(digest.digest()[:8], "big") >> 1


def _unpacked(buffer: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    parts = buffer.split([3 * height * width for height, width in sizes])
    return [part.view(3, height, width) for part, (height, width) in zip(parts, sizes, strict=True)]


def _unchanged(value: object) -> object:
    return value
