"""GloVe files: what is read, what is made up for missing words, and what each kind of damage is called."""

import pytest
import torch

from soli.glove import load_glove
from soli.interfaces import SoliError


@pytest.fixture
def glove(tmp_path):
    def write(*lines: str, encoding: str = "utf-8"):
        path = tmp_path / "vectors.txt"
        path.write_bytes("\n".join(lines).encode(encoding))
        return path

    return write


def test_vectors_land_on_their_words_and_missing_words_get_some_of_the_same_kind(glove):
    path = glove("dog 1 2 3", "cat 3 4 5", "unused 9 9 9")
    table, coverage = load_glove(path, ("<pad>", "cat", "dog", "zebra"), width=3)
    assert table[1].tolist() == [3, 4, 5] and table[2].tolist() == [1, 2, 3]
    assert coverage == 0.5
    assert table[0].abs().sum() > 0 and table[3].abs().sum() > 0 and not torch.equal(table[0], table[3])


def test_a_header_blank_lines_and_words_with_spaces_are_read(glove):
    table, coverage = load_glove(glove("3 2", "dog 1 2", ". . 3 4", "", "cat 5 6", ""), ("dog", ". .", "cat"), 2)
    assert table.tolist() == [[1, 2], [3, 4], [5, 6]] and coverage == 1


def test_one_known_word_is_enough(glove):
    assert load_glove(glove("dog 1 2 3"), ("dog", "cat"), 3)[0].isfinite().all()


def test_the_made_up_vectors_are_the_same_every_time(glove):
    path = glove("dog 1 2 3", "cat 3 4 5")
    assert torch.equal(load_glove(path, ("dog", "cat", "x"), 3)[0], load_glove(path, ("dog", "cat", "x"), 3)[0])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["dog 1 2 3 4", "cat 1 2 3 4"], r"width 4.*decoder\.embedding_dim=3: set decoder\.embedding_dim=4"),
        (["dog 1 2 3", "cat 1 2"], r"line 2"),
        (["dog 1 2 3", "cat 1 two 3"], r"line 2"),
        (["cow 1 2 3"], r"none of the 2 words"),
    ],
)
def test_a_file_that_does_not_fit_says_why(glove, lines, message):
    with pytest.raises(SoliError, match=rf"^decoder\.glove=.*{message}"):
        load_glove(glove(*lines), ("dog", "cat"), 3, "decoder.glove", "decoder.embedding_dim")


def test_a_missing_file_and_another_encoding_are_named(tmp_path, glove):
    with pytest.raises(SoliError, match=r"^text_encoder\.glove=.*nowhere\.txt"):
        load_glove(tmp_path / "nowhere.txt", ("dog",), 3, "text_encoder.glove", "text_encoder.word_dim")
    with pytest.raises(SoliError, match=r"^text_encoder\.glove=.*UTF-8"):
        load_glove(glove("caf\u00e9 1 2 3", encoding="latin-1"), ("dog",), 3, "text_encoder.glove", "text_encoder.word_dim")


def test_the_real_file_covers_captions(weights_root):
    path = weights_root / "glove" / "glove.6B.50d.flickr.txt"
    table, coverage = load_glove(path, ("<pad>", "dog", "puppy", "street"), width=50)
    assert table.shape == (4, 50) and coverage == 0.75
    assert torch.cosine_similarity(table[1], table[2], dim=0) > torch.cosine_similarity(table[1], table[3], dim=0)
