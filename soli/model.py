"""The captioner: one encoder, one decoder, and the words between them. The only place where their widths meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from soli.datasets import pad, read_photograph, upright_rgb
from soli.degradations import Degradation, Frame, Framing, parse, render
from soli.embedding import Embedding
from soli.generation import generate
from soli.interfaces import Decoder, Encoder, SoliError, Tokenizer
from soli.matching import Matcher
from soli.spelling import kind_of

Photograph = str | PathLike | Image.Image | np.ndarray


class Output(NamedTuple):
    """What a training step needs of the captioner; None where it was not asked for."""

    embeddings: Tensor | None  # (N, E) or (N, L, E)
    logits: Tensor | None  # (M, C, T, K), of the M captioned images
    attention: Tensor | None  # (M, C, T, L)
    joint_images: Tensor | None = None  # (M', E), of the M' matched images
    joint_captions: Tensor | None = None  # (B, C, E), zeros where a photograph has fewer captions


class Captioner(nn.Module):
    """Photographs to captions: `encoder` and `decoder` as in soli/interfaces.py, `projector` makes embeddings of features."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        tokenizer: Tokenizer,
        mode: str = "matrix",
        reference_side: int | None = None,
        projector: Embedding | None = None,
        generation: Mapping[str, Any] | None = None,
        matcher: Matcher | None = None,
    ):
        """`projector` None: features averaged over the grid, as in SOLI. `matcher` None: photographs and captions are not compared. `mode`
        and `reference_side` say what the name of a condition means here, as in `soli.degradations.parse`. `generation`: options of
        GenerationOptions that `caption` takes where it is given none.

        Raises SoliError when the decoder's output does not have a place for every token.
        """
        super().__init__()
        if decoder.vocab_size != len(tokenizer):
            raise SoliError(
                f"The decoder predicts {decoder.vocab_size} tokens, but its tokenizer has {len(tokenizer)}: build both from one vocabulary."
            )
        self.encoder, self.decoder, self.tokenizer = encoder, decoder, tokenizer
        self.projector = Embedding(encoder.feature_dim) if projector is None else projector
        self.matcher = matcher
        self.mode, self.reference_side = mode, reference_side
        self.generation = dict(generation or {})
        self.framing = Framing(encoder.input_size, encoder.framing)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(
        self,
        inputs: Tensor,
        tokens: Tensor | None = None,
        captioned: slice = slice(None),
        embed: bool = True,
        attend: bool = True,
        sentences: Tensor | None = None,
        matched: slice = slice(None),
    ) -> Output:
        """One encoder pass over `inputs` for everything: images (N, 3, S, S), or features (N, L, D) that the encoder made before.

        `tokens` (M, C, T) are what the decoder reads of the M `captioned` images; None: no captions. `attend` asks for its attention too.
        `sentences` (B, C, T) are whole captions for the matcher, which compares them with the `matched` images; None: no matching.
        """
        features = inputs if inputs.dim() == 3 else self.encoder(inputs)  # (N, L, D)
        embeddings = self.projector(features) if embed else None
        logits = attention = joint_images = joint_captions = None
        if sentences is not None:  # before the decoder, so that its dropout draws are the same where no captions are decoded
            joint_images = self.matcher.images(features[matched])
            joint_captions = self.matcher.captions(sentences, sentences != self.tokenizer.pad_id)
        if tokens is not None:
            answer = self.decoder(features[captioned], tokens, return_attention=attend)
            logits, attention = answer if attend else (answer, None)
        return Output(embeddings, logits, attention, joint_images, joint_captions)

    def render(self, photographs: Sequence[Tensor], degradations: Sequence[Degradation], frames: Sequence[Frame] | None = None) -> Tensor:
        """uint8 photographs (3, Hi, Wi) of any sizes, degraded and framed each in its own way -> the encoder's input (N, 3, S, S)."""
        if frames is None:
            frames = [self.framing.frame(*photograph.shape[1:]) for photograph in photographs]
        return render(photographs, degradations, frames, device=self.device).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def embed(
        self, images: Iterable[Photograph], condition: str | Degradation | None = None, batch_size: int = 32, pooled: bool = True
    ) -> Tensor:
        """Embeddings (N, E) of photographs: files, Pillow images or uint8 (H, W, 3) arrays.

        `pooled` false: as the contrastive term compares them, which may be (N, L, E), place by place.

        They are degraded by `condition` first, if given: a name, read with the `mode` and `reference_side` of the run, or
        what `parse` made of it.
        """
        with evaluating(self):
            batches = self.inputs(images, condition, batch_size)
            return torch.cat([self.embeddings(self.encoder(inputs), pooled).cpu() for inputs in batches])

    def embeddings(self, features: Tensor, pooled: bool = True) -> Tensor:
        """Features (N, L, D) -> embeddings (N, E): what the contrastive term compares, averaged over places if it compares those."""
        embeddings = self.projector(features.float())
        return embeddings.mean(1) if pooled and embeddings.dim() == 3 else embeddings

    @torch.inference_mode()
    def match(
        self, images: Iterable[Photograph], captions: Sequence[str], condition: str | Degradation | None = None, batch_size: int = 32
    ) -> Tensor:
        """How well each photograph and each caption go together, cosines in the joint space (N, M): `rank_metrics` takes them.

        The photographs are degraded by `condition` first, if given. Raises SoliError for a captioner that was not trained to match.
        """
        self.check_matches()
        with evaluating(self):
            places = [self.matcher.images(self.encoder(inputs)).cpu() for inputs in self.inputs(images, condition, batch_size)]
            return torch.cat(places) @ self.joint_captions(captions).T

    @torch.inference_mode()
    def joint_captions(self, captions: Sequence[str], batch_size: int = 512) -> Tensor:
        """The places of captions in the joint space (M, E), each cut to the most tokens that the text encoder takes, if it has a limit.

        Raises SoliError for a captioner that was not trained to match, and for no caption at all.
        """
        self.check_matches()
        if isinstance(captions, str) or not captions or not all(isinstance(caption, str) for caption in captions):
            raise SoliError("Give a list of captions, one at least, each a text.")
        longest = getattr(self.matcher.text_encoder, "max_tokens", None)
        ids = [self.tokenizer.encode(caption, longest) for caption in captions]
        with evaluating(self):
            places = []
            for first in range(0, len(ids), batch_size):
                tokens = pad([ids[first : first + batch_size]], self.tokenizer.pad_id)[0].to(self.device)
                places.append(self.matcher.captions(tokens, tokens != self.tokenizer.pad_id).float().cpu())
        return torch.cat(places)

    def check_matches(self) -> None:
        """Raises SoliError for a captioner that was not trained to match photographs and captions."""
        if self.matcher is None:
            raise SoliError("This model was not trained to match photographs and captions: train one with variant=vse_plus_plus.")

    @torch.inference_mode()
    def caption(
        self,
        images: Iterable[Photograph],
        condition: str | Degradation | None = None,
        num_beams: int | None = None,
        *,
        batch_size: int = 32,
        **options: Any,
    ) -> list[str]:
        """A caption for each photograph: a file, a Pillow image or a uint8 (H, W, 3) array.

        They are degraded by `condition` first, if given: a name, read with the `mode` and `reference_side` of the run, or
        what `parse` made of it. `options` are the others of GenerationOptions: max_tokens, sample, ...; what is
        not given is that of the captioner's `generation`, which `soli.load` takes from the run.
        Raises SoliError for photographs that cannot be read, conditions that do not parse or leave less than a pixel, and options that are
        impossible.
        """
        options = {**self.generation, **options} | ({} if num_beams is None else {"num_beams": num_beams})
        captions: list[str] = []
        with evaluating(self):
            for inputs in self.inputs(images, condition, batch_size):
                captions += self.describe(self.encoder(inputs), first=len(captions), **options)
        return captions

    def describe(self, features: Tensor, first: int = 0, **options: Any) -> list[str]:
        """Captions of encoded images (N, L, D), the first of which has the number `first`; `options` are those of GenerationOptions."""
        generated = generate(self.decoder, features, self.tokenizer, first=first, **options)
        return [self.tokenizer.decode(ids) for ids in generated.ids]

    def inputs(self, images: Iterable[Photograph], condition: str | Degradation | None, batch_size: int) -> Iterator[Tensor]:
        """What the encoder sees of photographs, degraded by `condition` if one is given: batches (N, 3, S, S)."""
        if not isinstance(batch_size, int) or batch_size < 1:
            raise SoliError(f"batch_size is {batch_size!r}: give a whole number of photographs from 1 on.")
        name = "original" if condition is None else condition
        degradation = name if isinstance(name, Degradation) else parse(name, self.mode, self.reference_side)
        images = as_list(images)
        for first in range(0, len(images), batch_size):
            photographs = [as_tensor(image) for image in images[first : first + batch_size]]
            yield self.render(photographs, [degradation] * len(photographs))


def as_list(images: Iterable[Photograph]) -> list[Photograph]:
    """Raises SoliError for a single photograph and for none."""
    if isinstance(images, (str, PathLike, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 3):
        raise SoliError("Give a list of photographs, also for a single one: [photograph].")
    if not isinstance(images, Iterable):
        raise SoliError(f"Give a list of photographs, not {images!r}.")
    photographs = list(images)
    if not photographs:
        raise SoliError("There are no photographs to look at: the list is empty.")
    return photographs


def as_tensor(image: Photograph) -> Tensor:
    """A photograph as uint8 (3, H, W), upright RGB. Raises SoliError for what is not a photograph."""
    if isinstance(image, (str, PathLike)):
        image = read_photograph(image)
    elif isinstance(image, Image.Image):
        image = upright_rgb(image)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        found = f"a {image.dtype} array of shape {image.shape}" if isinstance(image, np.ndarray) else kind_of(image)
        raise SoliError(f"A photograph is a file, a Pillow image or a uint8 array (H, W, 3) of at least one pixel, not {found}.")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within it a module is in eval mode; afterwards every submodule has the mode it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
