"""Captions from features: batched greedy and beam search for any decoder, through its stepping contract (soli/interfaces.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soli.interfaces import Decoder, SoliError, Tokenizer

NEVER = float("-inf")


@dataclass(frozen=True)
class Generated:
    """The best caption of each image: token ids without start and end, and the sum of log-probabilities over length ** length_penalty."""

    ids: list[list[int]]
    scores: list[float]


@torch.inference_mode()
def generate(
    decoder: Decoder, features: Tensor, tokenizer: Tokenizer, num_beams: int = 1, max_tokens: int = 30, length_penalty: float = 1.0
) -> Generated:
    """Beam search over features (N, L, D) for captions of at most `max_tokens` tokens, the end token included; one beam is greedy search.

    The rules are those of transformers' `generate`: of the 2 * num_beams best continuations those that end among the first num_beams are
    finished captions; an image is done when it has num_beams of them and its best running hypothesis, at its present length, scores below
    the worst. Done images leave the batch. Raises SoliError for fewer than one beam or token.
    """
    if num_beams < 1 or max_tokens < 1:
        raise SoliError(
            f"generation.num_beams={num_beams} and generation.max_tokens={max_tokens} must be at least 1 (one beam is greedy search)."
        )
    captions = Generated([[] for _ in features], [NEVER] * len(features))
    search = _Search.start(decoder, features, tokenizer, num_beams, max_tokens)
    for length in range(1, max_tokens + 1):
        logits, search.state = decoder.step(search.tokens[:, :, -1], search.state)
        logits[..., list(tokenizer.suppressed_ids)] = NEVER
        continuations = search.continue_with(logits.float().log_softmax(-1), num_beams)
        search.finish(continuations, length**length_penalty, is_last=length == max_tokens)
        search.run_on(continuations, decoder)
        attainable = search.scores.max(dim=1).values / length**length_penalty
        done = (search.finished_scores.min(dim=1).values >= attainable) | (length == max_tokens)
        if done.any():
            search.hand_over(done, captions)
            if done.all():
                break
            search.keep(~done, decoder)
    return captions


@dataclass
class _Continuations:
    """The best continuations of each image, best first: (M, 2 * num_beams), or fewer where the vocabulary is tiny."""

    scores: Tensor
    parents: Tensor  # which hypothesis they continue
    words: Tensor
    ended: Tensor  # bool


@dataclass
class _Search:
    """M images that are not done, C running hypotheses each, and their best finished captions."""

    state: Any
    images: Tensor  # (M,) rows of the batch
    tokens: Tensor  # (M, C, T), the start token first
    scores: Tensor  # (M, C) sums of log-probabilities
    finished_tokens: Tensor  # (M, num_beams, max_tokens), filled up with the end token
    finished_scores: Tensor  # (M, num_beams)
    end_id: int

    @classmethod
    def start(cls, decoder: Decoder, features: Tensor, tokenizer: Tokenizer, num_beams: int, max_tokens: int) -> _Search:
        num_images, device = features.shape[0], features.device
        return cls(
            state=decoder.start(features),
            images=torch.arange(num_images, device=device),
            tokens=torch.full((num_images, 1, 1), tokenizer.start_id, device=device),
            scores=torch.zeros(num_images, 1, device=device),
            finished_tokens=torch.full((num_images, num_beams, max_tokens), tokenizer.end_id, device=device),
            finished_scores=torch.full((num_images, num_beams), NEVER, device=device),
            end_id=tokenizer.end_id,
        )

    def continue_with(self, log_probs: Tensor, num_beams: int) -> _Continuations:
        """The best continuations under log_probs (M, C, K): twice as many as beams, so that num_beams of them do not end."""
        totals = self.scores.unsqueeze(-1) + log_probs
        scores, flat = totals.flatten(1).topk(min(2 * num_beams, totals[0].numel()), dim=1)
        words = flat % totals.shape[-1]
        return _Continuations(scores, flat // totals.shape[-1], words, words == self.end_id)

    def finish(self, found: _Continuations, norm: float, is_last: bool) -> None:
        """Continuations among the first num_beams that end, or all of them at the last token, compete with the finished captions."""
        num_beams = self.finished_scores.shape[1]
        ends = found.ended | is_last
        ends[:, num_beams:] = False
        if not ends.any():
            return
        longer = _take(self.tokens, found.parents)[..., 1:]
        padded = torch.full((*longer.shape[:2], self.finished_tokens.shape[-1]), self.end_id, device=longer.device)
        padded[..., : longer.shape[-1]] = longer
        padded[..., longer.shape[-1]] = found.words
        scores = torch.cat([self.finished_scores, (found.scores / norm).masked_fill(~ends, NEVER)], dim=1)
        self.finished_scores, best = scores.topk(num_beams, dim=1)
        self.finished_tokens = _take(torch.cat([self.finished_tokens, padded], dim=1), best)

    def run_on(self, found: _Continuations, decoder: Decoder) -> None:
        """The best num_beams continuations that do not end become the running hypotheses."""
        kept = found.ended.long().argsort(dim=1, stable=True)[:, : self.finished_scores.shape[1]]
        parents, words = found.parents.gather(1, kept), found.words.gather(1, kept)
        self.scores = found.scores.masked_fill(found.ended, NEVER).gather(1, kept)
        self.tokens = torch.cat([_take(self.tokens, parents), words.unsqueeze(-1)], dim=-1)
        self.state = decoder.reorder(self.state, parents)

    def hand_over(self, done: Tensor, captions: Generated) -> None:
        for row in done.nonzero().flatten().tolist():
            ids = self.finished_tokens[row, 0].tolist()
            image = int(self.images[row])
            captions.ids[image] = ids[: ids.index(self.end_id)] if self.end_id in ids else ids
            captions.scores[image] = float(self.finished_scores[row, 0])

    def keep(self, running: Tensor, decoder: Decoder) -> None:
        rows = running.nonzero().flatten()
        self.images, self.tokens, self.scores = self.images[rows], self.tokens[rows], self.scores[rows]
        self.finished_tokens, self.finished_scores = self.finished_tokens[rows], self.finished_scores[rows]
        self.state = decoder.select(self.state, rows)


def _take(tokens: Tensor, parents: Tensor) -> Tensor:
    """Rows of tokens (M, C, T) by parents (M, C')."""
    return tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
