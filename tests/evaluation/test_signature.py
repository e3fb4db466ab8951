"""The line that goes with a score."""

import pytest

from soli.evaluation import signature
from soli.interfaces import SoliError
from soli.tokenization import tokenizer_name
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
