"""Where a decoder looks for each word of its caption, over the image: as arrays, and as a figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from soli.degradations import Degradation
from soli.generation import attention_of, generate
from soli.interfaces import SoliError, Tokenizer
from soli.model import Captioner, Photograph, as_list, evaluating


@dataclass(frozen=True)
class AttentionMaps:
    """The attention of a caption's words over the image that the encoder saw.

    `image` is uint8 (S, S, 3). `maps` (W, h, w) has a grid for each of the `words`; where the encoder has tokens besides its patches, such
    as a ViT's class token, a grid sums to less than 1. A word of several tokens has the mean of theirs.
    """

    image: np.ndarray
    words: tuple[str, ...]
    maps: np.ndarray

    def save(self, path: Path) -> None:
        """The arrays as .npz, under the names of the fields."""
        np.savez_compressed(path, image=self.image, words=np.array(self.words, dtype=str), maps=self.maps)

    def draw(self, path: Path, columns: int = 5) -> None:
        """The image, then each word over its attention (brighter: more, up to the strongest place of that word), as .png, .pdf or .svg."""
        from matplotlib.figure import Figure  # slow to import

        panels = len(self.words) + 1
        columns = min(columns, panels)
        rows = math.ceil(panels / columns)
        figure = Figure(figsize=(2.2 * columns, 2.45 * rows), layout="constrained")
        size = self.image.shape[0]
        for panel, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
            axes.set_axis_off()
            if panel >= panels:
                continue
            axes.imshow(self.image)
            if panel:
                grid = self.maps[panel - 1]
                strength = grid / max(float(grid.max()), 1e-12)
                axes.imshow(
                    strength, cmap="autumn", alpha=0.75 * strength, extent=(0, size, size, 0), interpolation="bilinear", vmin=0, vmax=1
                )
                axes.set_xlim(0, size)
                axes.set_ylim(size, 0)
            axes.set_title(self.words[panel - 1] if panel else "what the encoder sees", fontsize=10)
        figure.supxlabel("no colour: no attention, yellow: the strongest place of that word", fontsize=9)
        figure.savefig(path, dpi=110)


def attention_maps(
    captioner: Captioner, images: Iterable[Photograph], condition: str | Degradation | None = None, **options: Any
) -> Iterator[AttentionMaps]:
    """Captions of photographs with the attention of each word, one after another; `condition` and `options` as in `Captioner.caption`.

    Raises SoliError for photographs that cannot be read and conditions that do not parse.
    """
    for number, photograph in enumerate(as_list(images)):
        yield _look(captioner, photograph, condition, number, {**captioner.generation, **options})


@torch.inference_mode()
def attention_to(captioner: Captioner, photograph: Photograph, condition: str | Degradation | None, caption: str) -> AttentionMaps:
    """The attention while the captioner reads a caption that is given."""
    ids = captioner.tokenizer.encode(caption)[1:-1]
    with evaluating(captioner):
        inputs = next(captioner.inputs([photograph], condition, batch_size=1))
        (attention,) = attention_of(captioner.decoder, captioner.encoder(inputs), [ids], captioner.tokenizer.start_id)
    return _maps(captioner, inputs, ids, attention)


@torch.inference_mode()
def _look(captioner: Captioner, photograph: Photograph, condition: Any, number: int, options: dict[str, Any]) -> AttentionMaps:
    with evaluating(captioner):
        inputs = next(captioner.inputs([photograph], condition, batch_size=1))
        features = captioner.encoder(inputs)
        generated = generate(captioner.decoder, features, captioner.tokenizer, attend=True, first=number, **options)
    return _maps(captioner, inputs, generated.ids[0], generated.attention[0])


def _maps(captioner: Captioner, inputs: Tensor, ids: list[int], attention: Tensor) -> AttentionMaps:
    words, attention = by_word(captioner.tokenizer, ids, attention)
    image = (inputs[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    return AttentionMaps(image, words, over_grid(attention).float().cpu().numpy())


def by_word(tokenizer: Tokenizer, ids: list[int], attention: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """The words that token ids spell, and for each the mean attention (W, L) of its tokens' (T, L)."""
    counts = [len(tokenizer.decode(ids[: position + 1]).split()) for position in range(len(ids))]  # the words up to each token
    words = tuple(tokenizer.decode(ids).split())
    rows = [[position for position, count in enumerate(counts) if max(count, 1) == word + 1] for word in range(len(words))]
    return words, torch.stack([attention[row].mean(0) for row in rows]) if words else attention[:0]


def over_grid(attention: Tensor) -> Tensor:
    """Attention (W, L) over an encoder's positions -> (W, h, h), the square grid that they end with; what precedes it is no place.

    Raises SoliError when more than two positions would be none.
    """
    length = attention.shape[1]
    side = math.isqrt(length)
    if length - side * side > 2:
        raise SoliError(f"The encoder gives {length} positions, which are no square grid: there is no map to draw.")
    return attention[:, length - side * side :].unflatten(1, (side, side))
