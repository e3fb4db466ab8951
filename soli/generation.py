"""Captions from features for any decoder, through its stepping contract (soli/interfaces.py): greedy and beam search, and sampling.

The rules are those of transformers' `generate` (5.x), which the tests compare with token for token.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from soli.generation_options import GenerationOptions
from soli.interfaces import Decoder, SoliError, Tokenizer
from soli.spelling import nearest

NEVER = float("-inf")


@dataclass(frozen=True)
class Generated:
    """The caption of each image: token ids without start and end, and its score.

    `attention`, if asked for: for each word of it, which positions the decoder looked at before it; (T, L), without a row for the end.
    """

    ids: list[list[int]]
    scores: list[float]
    attention: list[Tensor] | None = None


@torch.inference_mode()
def generate(
    decoder: Decoder, features: Tensor, tokenizer: Tokenizer, *, attend: bool = False, first: int = 0, **options: Any
) -> Generated:
    """A caption for each image of features (N, L, D); `options` are those of GenerationOptions. The decoder should be in eval mode.

    Beam search: of the 2 * num_beams best continuations those that end among the first num_beams are finished captions; an image is done
    when it has num_beams of them and its best running hypothesis, at its present length, scores below the worst. Scores of sampled captions
    are those of the model, whatever the temperature.
    `first` is the number of the first image, from which sampling counts: an image's caption then does not depend on its batch.
    `attend` asks for the attention, of one more pass over the captions. Raises SoliError for impossible options.
    """
    unknown = [name for name in options if name not in GenerationOptions.__dataclass_fields__]
    if unknown:
        raise SoliError(
            f"{unknown[0]} is no option of generation{nearest(unknown[0], GenerationOptions.__dataclass_fields__)}: "
            f"choose from {', '.join(GenerationOptions.__dataclass_fields__)}."
        )
    rules = GenerationOptions(**options)
    places = getattr(decoder, "max_positions", None)
    if places is not None and rules.max_tokens > places:
        raise SoliError(f"generation.max_tokens={rules.max_tokens} is more than this decoder's {places} positions: lower it.")
    search = _Search.start(decoder, features, tokenizer, rules, first)
    for _ in range(rules.max_tokens):
        logits, search.state = decoder.step(search.tokens[:, :, -1], search.state)
        log_probs = search.allow(logits)
        found = search.draw(log_probs) if rules.sample else search.continue_with(log_probs)
        search.finish(found)
        search.run_on(found, decoder)
        if search.release(decoder):
            break
    ids = [words[: words.index(tokenizer.end_id)] if tokenizer.end_id in words else words for words in search.best_tokens.tolist()]
    attention = attention_of(decoder, features, ids, tokenizer.start_id) if attend else None
    return Generated(ids, search.best_scores.tolist(), attention)


@dataclass
class _Continuations:
    """The best continuations of each image, best first: (M, 2 * num_beams), fewer where the vocabulary is tiny, or the one drawn (M, 1)."""

    scores: Tensor
    parents: Tensor  # which hypothesis they continue
    tokens: Tensor  # (M, ..., T), the new one last
    ended: Tensor  # bool


@dataclass
class _Search:
    """M images still in the batch, C running hypotheses each, and their best finished captions; and the best caption of all N images."""

    options: GenerationOptions
    suppressed: Tensor
    end_id: int
    state: Any
    images: Tensor  # (M,) rows of the batch
    tokens: Tensor  # (M, C, T), the start token first
    scores: Tensor  # (M, C) sums of log-probabilities
    done: Tensor  # (M,) bool: they wait to leave
    draws: Tensor  # (M, max_tokens) random numbers in (0, 1], of which sampling takes one a word
    finished_tokens: Tensor  # (M, num_beams, max_tokens), filled up with the end token
    finished_scores: Tensor  # (M, num_beams), best first
    best_tokens: Tensor  # (N, max_tokens)
    best_scores: Tensor  # (N,)

    @classmethod
    def start(cls, decoder: Decoder, features: Tensor, tokenizer: Tokenizer, options: GenerationOptions, first: int) -> _Search:
        num_images, device = features.shape[0], features.device
        return cls(
            options=options,
            suppressed=torch.tensor(tokenizer.suppressed_ids, dtype=torch.long, device=device),
            end_id=tokenizer.end_id,
            state=decoder.start(features),
            images=torch.arange(num_images, device=device),
            tokens=torch.full((num_images, 1, 1), tokenizer.start_id, device=device),
            scores=torch.zeros(num_images, 1, device=device),
            done=torch.zeros(num_images, dtype=torch.bool, device=device),
            draws=_draws(options, range(first, first + num_images)).to(device),
            finished_tokens=torch.full((num_images, options.num_beams, options.max_tokens), tokenizer.end_id, device=device),
            finished_scores=torch.full((num_images, options.num_beams), NEVER, device=device),
            best_tokens=torch.full((num_images, options.max_tokens), tokenizer.end_id, device=device),
            best_scores=torch.full((num_images,), NEVER, device=device),
        )

    @property
    def length(self) -> int:
        """Tokens of the running hypotheses, the start token not counted."""
        return self.tokens.shape[-1] - 1

    def allow(self, logits: Tensor) -> Tensor:
        """Log-probabilities (M, C, K) of the next word, those of words that may not come at -inf.

        Suppressed tokens are none of the model's words: the others' probabilities sum to 1 without them. The rest is forbidden as by
        transformers' beam search, after the softmax. An image that no word may continue ends there, where transformers breaks the rules.
        """
        log_probs = logits.float().index_fill(-1, self.suppressed, NEVER).log_softmax(-1)
        ending = log_probs[..., self.end_id].clone()
        if self.length < self.options.min_tokens:
            log_probs[..., self.end_id] = NEVER
        size = self.options.no_repeat_ngram
        if size is not None and self.length + 1 >= size:
            windows = self.tokens.unfold(-1, size, 1)  # (M, C, T + 1 - n, n)
            latest = self.tokens[..., self.length + 2 - size :].unsqueeze(2)  # (M, C, 1, n - 1)
            seen = (windows[..., :-1] == latest).all(-1)
            log_probs.scatter_add_(-1, windows[..., -1], torch.where(seen, NEVER, 0.0))
            stuck = (self.scores + log_probs.amax(-1)).amax(1, keepdim=True) == NEVER
            log_probs[..., self.end_id] = torch.where(stuck, ending, log_probs[..., self.end_id])
        return log_probs

    def continue_with(self, log_probs: Tensor) -> _Continuations:
        """The best continuations under log_probs (M, C, K): twice as many as beams, so that num_beams of them do not end."""
        totals = self.scores.unsqueeze(-1) + log_probs
        scores, flat = totals.flatten(1).topk(min(2 * self.options.num_beams, totals[0].numel()), dim=1)
        return self._continuations(scores, flat // totals.shape[-1], flat % totals.shape[-1])

    def draw(self, log_probs: Tensor) -> _Continuations:
        """One continuation of each image, at random: the first word at which the cumulative probability reaches the number drawn."""
        cumulative = _probabilities(log_probs[:, 0], self.options).cumsum(-1)
        words = torch.searchsorted(cumulative, self.draws[:, self.length, None] * cumulative[:, -1:])
        return self._continuations(self.scores + log_probs[:, 0].gather(1, words), torch.zeros_like(words), words)

    def _continuations(self, scores: Tensor, parents: Tensor, words: Tensor) -> _Continuations:
        tokens = torch.cat([_take(self.tokens, parents), words.unsqueeze(-1)], dim=-1)
        return _Continuations(scores, parents, tokens, words == self.end_id)

    def finish(self, found: _Continuations) -> None:
        """Continuations among the first num_beams that end, or all of them at the last token, compete with the finished captions."""
        num_beams, length = self.options.num_beams, found.tokens.shape[-1] - 1
        ends = (found.ended[:, :num_beams] | (length == self.options.max_tokens)) & ~self.done.unsqueeze(1)
        padded = functional.pad(found.tokens[:, :num_beams, 1:], (0, self.options.max_tokens - length), value=self.end_id)
        scores = (found.scores[:, :num_beams] / length**self.options.length_penalty).masked_fill(~ends, NEVER)
        self.finished_scores, best = torch.cat([self.finished_scores, scores], dim=1).topk(num_beams, dim=1)
        self.finished_tokens = _take(torch.cat([self.finished_tokens, padded], dim=1), best)

    def run_on(self, found: _Continuations, decoder: Decoder) -> None:
        """The best num_beams continuations that do not end become the running hypotheses."""
        kept = found.ended.long().argsort(dim=1, stable=True)[:, : self.options.num_beams]
        self.scores = found.scores.masked_fill(found.ended, NEVER).gather(1, kept)
        self.tokens = _take(found.tokens, kept)
        self.state = decoder.reorder(self.state, found.parents.gather(1, kept))

    def release(self, decoder: Decoder) -> bool:
        """Hands over the captions of done images and takes these out of the batch, once they are a quarter of it: to leave, the others'
        features are copied. True when no image is left.
        """
        attainable = self.scores.amax(1) / self.length**self.options.length_penalty
        self.done |= (self.finished_scores[:, -1] >= attainable) | (self.length == self.options.max_tokens)
        num_done, num_images = int(self.done.sum()), len(self.done)  # the only wait for the device in a step
        if 4 * num_done < num_images:
            return False
        leaving = self.images[self.done]
        self.best_tokens[leaving], self.best_scores[leaving] = self.finished_tokens[self.done, 0], self.finished_scores[self.done, 0]
        if 0 < num_done < num_images:
            self._keep((~self.done).nonzero().flatten(), decoder)
        return num_done == num_images

    def _keep(self, rows: Tensor, decoder: Decoder) -> None:
        for name in ("images", "tokens", "scores", "done", "draws", "finished_tokens", "finished_scores"):
            setattr(self, name, getattr(self, name)[rows])
        self.state = decoder.select(self.state, rows)


def _take(tokens: Tensor, parents: Tensor) -> Tensor:
    """Rows of tokens (M, C, T) by parents (M, C')."""
    return tokens.gather(1, parents.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def _draws(options: GenerationOptions, images: range) -> Tensor:
    """Random numbers in (0, 1], (N, max_tokens), those of an image a function of the seed and its number; none (N, 0) without sampling."""
    generators = [Random(f"{options.seed}/{image}") for image in images]
    count = options.max_tokens if options.sample else 0
    rows = [[1 - generator.random() for _ in range(count)] for generator in generators]
    return torch.tensor(rows, dtype=torch.float64).view(len(images), count)


def _probabilities(log_probs: Tensor, options: GenerationOptions) -> Tensor:
    """What sampling draws from, given log-probabilities (M, K): temperature, then top_k, then top_p, as transformers' warpers."""
    scores = log_probs.double()
    scores = (scores - scores.amax(-1, keepdim=True)) / options.temperature
    if options.top_k is not None:
        least = scores.topk(min(options.top_k, scores.shape[-1])).values[:, -1:]
        scores = scores.masked_fill(scores < least, NEVER)
    if options.top_p < 1:
        ascending, order = scores.sort(dim=-1)
        tail = ascending.softmax(-1).cumsum(-1) <= 1 - options.top_p
        tail[:, -1] = False  # the likeliest word stays
        scores = scores.masked_fill(tail.scatter(1, order, tail), NEVER)
    return scores.softmax(-1)


def attention_of(decoder: Decoder, features: Tensor, ids: list[list[int]], start_id: int) -> list[Tensor]:
    """Where the decoder looked before each word, (T, L) for each caption: it reads the start token and all words but the last."""
    longest = max([1, *map(len, ids)])
    tokens = torch.tensor([[start_id, *words, *[start_id] * longest][:longest] for words in ids], device=features.device)
    weights = decoder(features, tokens, return_attention=True)[1]
    return [rows[: len(words)] for rows, words in zip(weights, ids, strict=True)]
