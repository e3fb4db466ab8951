"""The line that goes with a score."""

import pytest

from soli.evaluation import signature
from soli.evaluation.signature import generation_entry
from soli.interfaces import SoliError
from soli.tokenization import tokenizer_name
from soli.training.settings import GenerationSettings
from soli.version import __version__


def test_the_facts_stand_in_the_order_given_between_the_words_and_the_version():
    line = signature("CIDEr", refs=5, gen="beam3", split="test", images=1000, cond="R0.2S1")
    expected = f"CIDEr|level:word|tok:{tokenizer_name()}|refs:5|gen:beam3|split:test|images:1000|cond:R0.2S1|soli:{__version__}"
    assert line == expected


def test_the_tokenizer_is_named_with_its_version():
    assert tokenizer_name().startswith("ptb-nltk3.")


@pytest.mark.parametrize("value", ["a|b", "a\nb", "a\u2028b"])
def test_a_value_that_could_be_read_as_two_is_refused(value):
    with pytest.raises(SoliError, match="split"):
        signature(split=value)


@pytest.mark.parametrize(
    ("options", "entry"),
    [
        ({}, "beam3,max30,length1"),
        ({"num_beams": 1, "max_tokens": 22, "length_penalty": 0.5}, "greedy,max22,length0.5"),
        ({"seed": 3, "batch_size": 7}, "beam3,max30,length1"),  # neither matters to a search
        ({"min_tokens": 4, "no_repeat_ngram": 2}, "beam3,max30,length1,min4,norepeat2"),
        ({"num_beams": 1, "sample": True}, "sample,max30,length1,seed0"),
        (
            {"num_beams": 1, "sample": True, "temperature": 0.7, "top_k": 5, "top_p": 0.9, "seed": 3},
            "sample,max30,length1,temperature0.7,topk5,topp0.9,seed3",
        ),
    ],
)
def test_generation_is_named_with_all_that_matters(options, entry):
    assert generation_entry(GenerationSettings(**options)) == entry
