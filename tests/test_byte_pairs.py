"""GPT-2's tokens against transformers' own tokenizer, and files that are not its."""

import json
import shutil

import pytest

from soli.byte_pairs import BytePairs
from soli.interfaces import SoliError

CAPTIONS = ["A dog runs .", "Two dogs' owner, 35 years old, isn't here!", "a café   at night", ""]


@pytest.fixture(scope="module")
def folder(weights_root):
    return weights_root / "gpt2-tokenizer"


def test_ids_equal_those_of_transformers(folder, flickr8k_root):
    from transformers import GPT2Tokenizer

    ours = BytePairs.load(folder)
    theirs = GPT2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    assert len(ours) == len(theirs) == 50257 and ours.start_id == ours.end_id == 50256
    lines = (flickr8k_root / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines()[:300]
    for caption in [*CAPTIONS, *(line.split("\t")[1] for line in lines)]:
        ids = ours.encode(caption)
        text = ours.decode(ids[1:])
        assert ids[0] == ids[-1] == 50256
        assert ids[1:-1] == theirs(text, add_special_tokens=False)["input_ids"]


def test_captions_come_back_as_the_words_that_are_counted(folder):
    from soli.tokenization import tokenize

    ours = BytePairs.load(folder)
    for caption in CAPTIONS:
        assert ours.decode(ours.encode(caption)) == " ".join(tokenize(caption))


def test_a_caption_that_is_cut_teaches_no_end(folder):
    ours = BytePairs.load(folder)
    assert ours.encode("a dog runs over the grass", 4) == ours.encode("a dog runs over the grass")[:4]
    assert ours.end_id not in ours.encode("a dog runs over the grass", 4)[1:]


def test_saving_and_loading_changes_nothing(folder, tmp_path):
    ours = BytePairs.load(folder)
    ours.save(tmp_path / "tokenizer.json")
    again = BytePairs.load(tmp_path / "tokenizer.json")
    assert again == ours == BytePairs.load(tmp_path) and again.encode(CAPTIONS[1]) == ours.encode(CAPTIONS[1])


def test_words_are_listed_by_id(folder):
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    words = BytePairs.load(folder).words
    assert all(words[index] == word for word, index in vocabulary.items())


@pytest.mark.parametrize("missing", ["vocab.json", "merges.txt"])
def test_a_folder_without_its_files_is_refused(folder, tmp_path, missing):
    for name in {"vocab.json", "merges.txt"} - {missing}:
        shutil.copy(folder / name, tmp_path)
    with pytest.raises(SoliError, match=r"holds no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt"):
        BytePairs.load(tmp_path)


def test_files_that_are_damaged_or_of_another_tokenizer_are_refused(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(SoliError, match=r"tokenizer of 3 tokens has no <\|endoftext\|>: it is not GPT-2's"):
        BytePairs.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(SoliError, match="cannot be read"):
        BytePairs.load(tmp_path)
    with pytest.raises(SoliError, match="/no/such does not exist"):
        BytePairs.load("/no/such")
