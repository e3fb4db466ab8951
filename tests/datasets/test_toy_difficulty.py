"""The toy data must be seen to be described: captions of another picture score far below the picture's own."""

from __future__ import annotations

from pycocoevalcap.cider.cider import Cider

from soli.datasets import ToyDataset


def cider(captions: list[str], references: list[list[str]]) -> float:
    return Cider().compute_score(dict(enumerate(references)), {number: [caption] for number, caption in enumerate(captions)})[0]


def test_captions_of_other_pictures_score_at_most_a_quarter() -> None:
    """Each picture's first caption against the other four; then everybody's caption given to the neighbour."""
    examples = ToyDataset(num_train=0, num_val=0).examples("test")
    captions, references = [example.captions[0] for example in examples], [list(example.captions[1:]) for example in examples]
    assert cider(captions[1:] + captions[:1], references) < cider(captions, references) / 4


def test_no_single_caption_does_well() -> None:
    """The best of one caption for all pictures, which a captioner that does not look could learn."""
    examples = ToyDataset(num_train=100, num_val=0).examples("test")
    references = [list(example.captions) for example in examples]
    own = cider([example.captions[0] for example in examples], [references_of[1:] for references_of in references])
    constants = [example.captions[number] for number, example in enumerate(ToyDataset().examples("train")[:5])]
    assert max(cider([caption] * len(examples), references) for caption in constants) < own / 3
