"""The vocabulary: ids, counts, and what is lost and kept on the way through it."""

import json

import pytest

from soli.interfaces import SoliError
from soli.vocabulary import SPECIAL_WORDS, Vocabulary


def test_special_words_have_the_ids_that_everything_relies_on():
    vocabulary = Vocabulary.build(["a dog runs"])
    assert vocabulary.words[:4] == SPECIAL_WORDS == ("<pad>", "<start>", "<end>", "<unk>")
    assert (vocabulary.pad_id, vocabulary.start_id, vocabulary.end_id, vocabulary.unk_id) == (0, 1, 2, 3)


def test_the_most_frequent_words_come_first_and_rare_ones_are_unknown():
    vocabulary = Vocabulary.build(["b b b a a c", "A a B"], min_count=2)
    assert vocabulary.words[4:] == ("a", "b")
    assert vocabulary.encode("a c b") == [1, 4, 3, 5, 2]


def test_a_caption_goes_through_in_lower_case_without_punctuation():
    vocabulary = Vocabulary.build(["A dog, running fast."])
    assert vocabulary.decode(vocabulary.encode("A dog, running FAST.")) == "a dog running fast"


def test_decoding_stops_at_the_end_and_drops_padding():
    vocabulary = Vocabulary.build(["a dog"])
    assert vocabulary.decode([1, 4, 5, 2, 4, 0, 0]) == "a dog"
    assert vocabulary.decode([]) == ""


def test_a_caption_that_is_cut_has_no_false_end():
    vocabulary = Vocabulary.build(["one two three four"])
    assert vocabulary.encode("one two three four", max_tokens=3) == vocabulary.encode("one two three four")[:3]
    assert 2 not in vocabulary.encode("one two three four", max_tokens=3)


def test_a_file_gives_the_same_vocabulary_back(tmp_path):
    vocabulary = Vocabulary.build(["ein café am straßenrand"])
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize("content", ["{}", "[1, 2]", "not json", json.dumps(["a", "b"]), json.dumps([*SPECIAL_WORDS, "a", "a"])])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(SoliError, match="vocabulary"):
        Vocabulary.load(tmp_path / "vocabulary.json")


def test_a_count_that_leaves_no_word_is_an_error():
    with pytest.raises(SoliError, match="min_count"):
        Vocabulary.build(["a dog"], min_count=2)
