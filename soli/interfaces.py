"""The words every part of soli shares: the legend of shapes, the user's error, and the contracts between the parts.

Legend of shapes, used in comments and docstrings everywhere:

    B  photographs in a batch          L  positions of an encoder's feature grid
    V  views of a photograph           D  width of a feature
    N  encoded images, N = V * B       E  width of an embedding
    C  captions (or beams) per image   T  tokens of a caption, K  size of the vocabulary
    Q  queries of negatives            M  captions, or other candidates; R  negatives from outside a step

Images are RGB floats in [0, 1] wherever they are tensors, uint8 arrays (H, W, 3) wherever they come from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # so that a command can say what it takes before PyTorch is there
    import numpy as np
    from torch import Tensor


class SoliError(ValueError):
    """A mistake of the user's: the message says what was given, what is allowed, and what to do. Commands print it without a traceback."""


class BrokenWeights(SoliError):
    """Weights that give numbers which are not finite: to go on from them is no use."""


def check_value(key: str, value: object, is_allowed: bool, allowed: str) -> None:
    """Raises SoliError, `<key>=<value> must be <allowed>.`, unless it is."""
    if not is_allowed:
        raise SoliError(f"{key}={value} must be {allowed}.")


@dataclass(frozen=True)
class Example:
    """One photograph with all its captions. `path` is None for images that are drawn rather than read."""

    image_id: str
    captions: tuple[str, ...]
    path: Path | None = None


class CaptionDataset(Protocol):
    """Photographs with captions, in splits.

    `reference_side` is the longer side, in pixels, of the originals if the photographs were shrunk before they reached us, else None.
    """

    name: str
    reference_side: int | None
    notices: list[str]  # sentences on what was left out, for the user

    @property
    def splits(self) -> tuple[str, ...]: ...

    def examples(self, split: str) -> Sequence[Example]: ...

    def read_image(self, example: Example) -> np.ndarray: ...  # uint8 (H, W, 3), upright RGB

    def fingerprint(self, example: Example) -> str: ...  # equal exactly when two photographs are byte-identical; without white space


class Tokenizer(Protocol):
    """Captions to token ids and back. `encode` adds the start and end tokens; `decode` drops them and stops at the end.

    `suppressed_ids` are tokens that a caption never contains. `pad_id` may be no token (below 0): a decoder then reads it as any token.
    `words` are the tokens by id, and `save` writes what the tokenizer is made of.
    """

    words: tuple[str, ...]

    pad_id: int
    start_id: int
    end_id: int
    suppressed_ids: tuple[int, ...]

    def __len__(self) -> int: ...

    def encode(self, caption: str, max_tokens: int | None = None) -> list[int]: ...

    def decode(self, ids: Iterable[int]) -> str: ...

    def save(self, path: Path) -> None: ...


class Encoder(Protocol):
    """`(images (N, 3, H, W) in [0, 1]) -> features (N, L, D)`. The encoder normalises its input itself.

    `framing` says how a photograph becomes its input: "crop" (shorter side to input_size * 8/7, then a crop) or "squash".
    `finetuned_parts` lists the submodules that may train at all; a phase of the schedule decides when they do.
    """

    feature_dim: int
    input_size: int
    framing: str

    def __call__(self, images: Tensor) -> Tensor: ...

    def finetuned_parts(self) -> list[Any]: ...


class Decoder(Protocol):
    """Features to words, C captions of each image at once: an image's features are projected once, however many captions it has.

    Teacher forcing: `(features (N, L, D), tokens (N, T) or (N, C, T)) -> logits (N, [C,] T, K)`; with `return_attention=True` also the
    attention (N, [C,] T, L).
    Stepping: `start(features) -> state`; `step(tokens (N,) or (N, C), state) -> logits (N, [C,] K), state`;
    `reorder(state, parents (N, C')) -> state` lets hypothesis c of an image continue hypothesis parents[n, c]; `select(state, images (M,))`
    keeps some of the images. Neither copies features per hypothesis.

    `attention_weight` is the weight of the attention loss where a variant leaves it open. Optional, also for encoders: `complete(settings)`
    adds what pretrained files say to the part's section of the config; `finetuned_parts()`; of decoders `notices`, sentences for the user,
    and `max_positions`, the most tokens of a caption.
    """

    vocab_size: int
    attention_weight: float

    def __call__(self, features: Tensor, tokens: Tensor, return_attention: bool = False) -> Any: ...

    def start(self, features: Tensor) -> Any: ...

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]: ...

    def reorder(self, state: Any, parents: Tensor) -> Any: ...

    def select(self, state: Any, images: Tensor) -> Any: ...


class TextEncoder(Protocol):
    """Captions to vectors: `(tokens (M, T), is_word (M, T) bool) -> (M, output_dim)`. `is_word` is false for padding, which comes last and
    may be no token at all (an id below 0); every caption has a token at least, and what stands in the padding changes nothing. Optional:
    `max_tokens`, the most tokens of a caption, `finetuned_parts()` as encoders have it, and `glove_coverage`."""

    output_dim: int

    def __call__(self, tokens: Tensor, is_word: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Queries:
    """What negatives are asked: Q queries and M candidates of one step, all without gradients.

    Those with equal keys, `keys` (Q,) and `candidate_keys` (M,), show one photograph and are never negatives of each other. `generators`
    holds a random generator for each query, so that a draw is a function of (seed, photograph, epoch). `direction` names what looks for
    what: some negatives keep a memory for each. The rest is None where keys are all that is known: `queries` (Q, E), `candidates` (M, E),
    their `similarity` (Q, M) as the loss has it, `harm`, which tells the loss that other candidates (Q, R, E) would cause, (Q, R), and
    `places` (M,), the number of each candidate among all of the training data.
    """

    direction: str
    keys: Tensor
    candidate_keys: Tensor
    generators: Sequence[Random]
    queries: Tensor | None = None
    candidates: Tensor | None = None
    similarity: Tensor | None = None
    harm: Callable[[Tensor], Tensor] | None = None
    places: Tensor | None = None

    @property
    def is_negative(self) -> Tensor:
        """(Q, M) bool: which candidates show another photograph than the query."""
        return self.keys[:, None] != self.candidate_keys[None, :]


@dataclass(frozen=True)
class Chosen:
    """What negatives answer: how much each candidate counts as a negative of each query, `weights` (Q, M), 0 where it is none.

    `own` (Q,) is how much the query's own counterpart counts, 1 unless the negatives say otherwise. `outside` (Q, R, E) are negatives that
    the step does not have, as they were when training last saw them, `outside_weights` (Q, R) how much they count, and `outside_places`
    (Q, R) their numbers in the training data, where they have any. `clusters`: the centroids (Q, E) of the group of embeddings that
    is most like each query, among which false negatives may be, and of the second one.
    """

    own: Tensor
    weights: Tensor
    outside: Tensor | None = None
    outside_weights: Tensor | None = None
    outside_places: Tensor | None = None
    clusters: tuple[Tensor, Tensor] | None = None


class Negatives(Protocol):
    """`choose(queries) -> Chosen`.

    `least` is the smallest number of photographs in a step that gives a negative, `every_own` whether every query gets its own counterpart,
    `symmetric` whether one direction says all. Optional: `prepare(num_candidates, num_steps)`, told before training how many candidates
    each direction has in all and how many steps there will be; `state_dict()` and `load_state_dict(state)`, of tensors, for what is
    remembered from step to step (an empty state forgets all, as at the end of a phase); `false_negatives`, the weight and the two margins
    of the loss on `clusters`; `notice`, a sentence for the user.
    """

    least: int
    every_own: bool
    symmetric: bool

    def choose(self, queries: Queries) -> Chosen: ...


@dataclass(frozen=True)
class Outside:
    """Negatives that the step does not have, of each photograph in one view: 0 the anchor's, 1 the other."""

    view: int
    embeddings: Tensor  # (B, R, [L,] E)
    weights: Tensor  # (B, R)
    chosen: Tensor  # (B, R), how much each counts where the photograph's own copy counts 1


@dataclass(frozen=True)
class Pairs:
    """Which embeddings a contrastive loss compares: the weights of the pairs, `same` and `different`, both (B, B).

    Row i is photograph i in the anchor view, column j photograph j in the other view; 0 leaves a pair out, all weights, those `outside`
    too, sum to 1. `chosen`: how much each negative of the step counts where the photograph's own copy counts 1, for the anchor views as
    queries and for the other views; None: those with a weight count 1 in both directions.
    """

    same: Tensor
    different: Tensor
    outside: tuple[Outside, ...] = ()
    chosen: tuple[Tensor, Tensor] | None = None


class PairLoss(Protocol):
    """A contrastive loss over two views: `(anchor (B, [L,] E), other (B, [L,] E), pairs) -> scalar`, by its method `of_pairs`.

    `measure` is told the mean distance between different photographs at the start. `every_own`: it needs negatives that give every
    photograph its own copy. `similarity(anchor, other) -> (B, B)` is larger the harder a negative is; `harm(views (B, [L,] E), candidates
    (B, R, [L,] E)) -> (B, R)` the loss that each would cause as a negative, or what grows with it.
    """

    every_own: bool

    def of_pairs(self, anchor: Tensor, other: Tensor, pairs: Pairs) -> Tensor: ...

    def measure(self, distance: float) -> None: ...

    def similarity(self, anchor: Tensor, other: Tensor) -> Tensor: ...

    def harm(self, views: Tensor, candidates: Tensor) -> Tensor: ...


class MatchingLoss(Protocol):
    """A loss over photographs (B, E) and captions (M, E) in the joint space: `of_matches(images, captions, owner (M,), by_image,
    by_caption)`.

    `owner` says which photograph each caption is of; the negatives are those of photographs among captions, and of captions among
    photographs. `similarity_harm(own (Q,), similarity (Q, R)) -> (Q, R)`: the loss of negatives of these similarities.
    """

    def of_matches(self, images: Tensor, captions: Tensor, owner: Tensor, by_image: Chosen, by_caption: Chosen) -> Tensor: ...

    def similarity_harm(self, own: Tensor, similarity: Tensor) -> Tensor: ...
