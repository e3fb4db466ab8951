"""A cache on disk of a frozen encoder's features, by what photographs contain: trained on many times, encoded once per condition.

<folder>/<digest>/origin.json        what the features are made of, and their shape (L, D)
<folder>/<digest>/<condition>.rows   the features, and <condition>.index, whose they are
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from soli.datasets import CaptionedImages, batches
from soli.degradations import Degradation
from soli.feature_cache.disk import LOCK, alone, reporting
from soli.feature_cache.origin import ORIGIN, difference, folder_of, origin_of, read_origin, write_origin
from soli.feature_cache.rows import Rows
from soli.interfaces import BrokenWeights, CaptionDataset, Example, SoliError
from soli.model import Captioner, evaluating

DTYPES = ("float16", "float32")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class FeatureCache:
    """Features (L, D) of photographs in their canonical frame (the centre, not mirrored), as `model.encoder` makes them in eval mode.

    The encoder must stay as it was when the cache was made. Processes may share a folder: one computes, the others wait for it.
    """

    def __init__(
        self,
        folder: Path,
        model: Captioner,
        dtype: Literal["float16", "float32"] = "float16",
        precision: str = "fp32",
        batch_size: int = 32,
        workers: int = 0,
        say: Callable[[str], None] = print,
        check_stop: Callable[[], None] = lambda: None,
    ):
        """`dtype` is that of the numbers on disk, `precision` (fp32, bf16 or fp16) what the encoder computes in, `workers` the processes
        that decode photographs; `say` is given sentences for the user, `check_stop` called after every batch: it may raise
        KeyboardInterrupt. Nothing is read or written before `ensure`.

        Raises SoliError for an unknown dtype or precision.
        """
        for name, value, allowed in (("dtype", dtype, DTYPES), ("precision", precision, PRECISIONS)):
            if value not in allowed:
                raise SoliError(f"The feature cache's {name} is {value!r}: give {' or '.join(allowed)}.")
        self.model, self.dtype, self.precision = model, dtype, precision
        self.batch_size, self.workers, self.say, self.check_stop = batch_size, workers, say, check_stop
        self.origin, self._stamp = self._origin(), self._changes()
        self.folder = folder_of(Path(folder), self.origin)
        self.shape: tuple[int, int] | None = None  # (L, D)
        self._rows: dict[Degradation, Rows] = {}
        self._fingerprints: dict[str, str] = {}
        self._datasets: list[CaptionDataset] = []

    def ensure(self, data: CaptionedImages, degradations: Sequence[Degradation], progress: bool = True) -> None:
        """Computes what is not there yet of the photographs of `data` at each of `degradations`; each is decoded once for all of them.

        Raises SoliError for a photograph that cannot be read, a full disk, and features that `dtype` cannot hold.
        """
        assert self._stamp == self._changes(), "the encoder has changed since the cache was made"
        self._identify(data, progress)
        wanted = dict.fromkeys(self._fingerprint(example) for example in data.examples)
        degradations = list(dict.fromkeys(degradations))
        if self._is_begun() and not self._missing(wanted, degradations, lambda _: None):
            return
        with alone(self.folder, self.say, self.check_stop):
            self._begin()
            for rows in self._rows.values():
                rows.open()
            missing = self._missing(wanted, degradations, self.say)
            if missing:
                self._announce(missing, len(wanted) * len(degradations))
                self._compute(data, missing, progress)

    def features(self, photographs: Sequence[Example | str], degradations: Sequence[Degradation]) -> Tensor:
        """Features (n, L, D) float32: of photograph i, an example or its fingerprint, under degradations[i].

        Raises KeyError for what `ensure` was not asked for.
        """
        assert len(photographs) == len(degradations)
        numbers = np.empty((len(photographs), *(self.shape or (0, 0))), self.dtype)
        for place, (photograph, degradation) in enumerate(zip(photographs, degradations, strict=True)):
            fingerprint = photograph if isinstance(photograph, str) else self._fingerprint(photograph)
            try:
                numbers[place] = self._rows[degradation][fingerprint].reshape(self.shape)
            except KeyError as reason:
                raise KeyError(f"no features of {fingerprint} at {degradation.spec}: call ensure first") from reason
        return torch.from_numpy(numbers).float()

    def key(self, example: Example) -> int:
        """63 bits of a hash of the photograph: equal exactly for equal files, as `Batch.keys` for equal pixels. Nothing is decoded.

        Raises KeyError for a photograph that `ensure` was not asked for.
        """
        return int.from_bytes(hashlib.blake2b(self._fingerprint(example).encode(), digest_size=8).digest(), "big") >> 1

    def _changes(self) -> list[int]:
        """How often each of the encoder's tensors was written to, as PyTorch counts."""
        return [tensor._version for tensor in (*self.model.encoder.parameters(), *self.model.encoder.buffers())]

    def _origin(self) -> dict:
        return origin_of(self.model.encoder, self.model.framing, self.dtype, self.precision)

    def _fingerprint(self, example: Example) -> str:
        if example.image_id not in self._fingerprints:
            raise KeyError(f"{example.image_id} is not known: call ensure first")
        return self._fingerprints[example.image_id]

    def _identify(self, data: CaptionedImages, progress: bool) -> None:
        """Fingerprints of the photographs of `data`, each made once."""
        known = self._fingerprints if any(dataset is data.dataset for dataset in self._datasets) else {}
        new = [example for example in data.examples if example.image_id not in known]
        for example in tqdm(new, desc="fingerprints", unit="photograph", leave=False, disable=not (new and progress), dynamic_ncols=True):
            fingerprint = data.dataset.fingerprint(example)
            if self._fingerprints.setdefault(example.image_id, fingerprint) != fingerprint:
                raise SoliError(f"Two datasets have different photographs called {example.image_id}: make a FeatureCache for each.")
        self._datasets += [] if known is self._fingerprints else [data.dataset]

    def _is_begun(self) -> bool:
        found = read_origin(self.folder)
        if found is not None and found[0] == self.origin:
            self.shape = found[1]
            return True
        return False

    def _begin(self) -> None:
        """Sees to it that the folder is this origin's, and says why where what is there cannot be used."""
        if self._is_begun():
            return
        left = [path for path in self.folder.iterdir() if path.name != LOCK]
        differing = difference(self.origin, self.folder.parent)
        if left:
            self.say(f"{self.folder / ORIGIN} is damaged: the features beside it are made anew.")
        elif differing:
            self.say(f"The features in {self.folder.parent} differ from this encoder's in {differing}: its own are made anew.")
        self.shape = self._measure()
        self._rows.clear()
        with reporting(self.folder):
            for path in left:
                path.unlink()
            write_origin(self.folder, self.origin, self.shape)

    def _missing(
        self, wanted: Collection[str], degradations: Sequence[Degradation], say: Callable[[str], None]
    ) -> dict[Degradation, set[str]]:
        """The fingerprints whose features are not there, or not right, by condition; conditions that lack nothing are left out."""
        missing = {}
        for degradation in degradations:
            if degradation not in self._rows:
                name = f"{degradation.spec}-{degradation.mode}-{degradation.reference_side or 'own'}"
                self._rows[degradation] = Rows(self.folder, name, self.shape[0] * self.shape[1], self.dtype)
            rows = self._rows[degradation]
            wrong = rows.forget_wrong(wanted)
            if wrong:
                say(f"{rows.path}: the features of {wrong} of {len(wanted)} photographs are damaged, and made anew.")
            missing[degradation] = set(wanted) - rows.places.keys()
        return {degradation: fingerprints for degradation, fingerprints in missing.items() if fingerprints}

    def _announce(self, missing: Mapping[Degradation, set[str]], total: int) -> None:
        left = sum(map(len, missing.values()))
        size = left * self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize
        self.say(f"{self.folder}: {total - left} of {total} features are there already; the others take {size / 1e9:.2f} GB.")

    def _compute(self, data: CaptionedImages, missing: Mapping[Degradation, set[str]], progress: bool) -> None:
        """Batch by batch, and within a batch condition by condition."""
        indices = {self._fingerprint(example): index for index, example in reversed(list(enumerate(data.examples)))}
        needed = set().union(*missing.values())
        order = sorted(index for fingerprint, index in indices.items() if fingerprint in needed)
        plan = [order[first : first + self.batch_size] for first in range(0, len(order), self.batch_size)]
        total = sum(map(len, missing.values()))
        with evaluating(self.model), tqdm(total=total, desc="features", disable=not progress, dynamic_ncols=True) as bar:
            for batch in batches(data, plan, self.workers):
                names = [self._fingerprint(data.examples[index]) for index in batch.indices]
                for degradation, fingerprints in missing.items():
                    chosen = [place for place, name in enumerate(names) if name in fingerprints]
                    if chosen:
                        numbers = self._encode(self.model.render([batch.images[place] for place in chosen], [degradation] * len(chosen)))
                        self._rows[degradation].append([names[place] for place in chosen], numbers)
                        bar.update(len(chosen))
                self.check_stop()

    @torch.inference_mode()
    def _encode(self, inputs: Tensor) -> np.ndarray:
        """The encoder's input (n, 3, S, S) -> rows (n, L * D) as they are on disk. Raises SoliError for numbers that do not go there."""
        with torch.autocast(self.model.device.type, PRECISIONS[self.precision], enabled=self.precision != "fp32"):
            features = self.model.encoder(inputs).float()  # (n, L, D)
        numbers = features.to(getattr(torch, self.dtype))
        if not numbers.isfinite().all():
            if features.isfinite().all():
                largest = features.abs().max().item()
                raise SoliError(f"The encoder's features reach {largest:.4g}, and float16 ends at 65504: keep them as float32.")
            raise BrokenWeights("The encoder's features are not finite: its weights are damaged, or do not belong to its architecture.")
        return numbers.flatten(1).cpu().numpy()

    @torch.inference_mode()
    def _measure(self) -> tuple[int, int]:
        """(L, D) of a photograph's features."""
        with evaluating(self.model):
            size = self.model.framing.size
            return tuple(self.model.encoder(torch.zeros(1, 3, size, size, device=self.model.device)).shape[1:])
