"""Captions to words: the Java tokenizer of pycocoevalcap is the oracle, on real captions and on hard ones."""

from __future__ import annotations

import re
import shutil

import pytest
from nltk.tokenize import TreebankWordTokenizer
from nltk.tokenize.destructive import MacIntyreContractions
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from soli.tokenization import JOINED_WORDS, tokenize, tokenizer_name

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="the oracle is a Java program, and there is no java on the PATH")

# Captions and the words that the Java tokenizer finds in them.
ANSWERS = {
    "A man's dog. The dogs' owners aren't here!": "a man 's dog the dogs owners are n't here",
    "Two dogs run.They can't stop; cannot, won't": "two dogs run.they ca n't stop can not wo n't",
    "A person (left) in an R.V. on Main St. with Mr. Smith": "a person -lrb- left -rrb- in an r.v. on main st. with mr. smith",
    'A sign that reads "STOP" at 5:30 p.m. on Jan. 3rd': "a sign that reads stop at 5:30 p.m. on jan. 3rd",
    "The man sat. Then no. 5 won. No one saw No. 5": "the man sat then no. 5 won no one saw no. 5",
    "plan B. The letter x. the J. K. Rowling": "plan b the letter x. the j. k. rowling",
    "a black-and-white t-shirt - and -- a 4-wheeler": "a black-and-white t-shirt and a 4-wheeler",
    "rock 'n' roll on a slip 'n 'slide of the '80s": "rock 'n' roll on a slip 'n slide of the '80s",
    "\u201cIt\u2019s\u201d a dog\u2026": "it 's a dog",
    "AT&T & R&B , black & white": "at&t & r&b black & white",
    "$5.50 or 50% of 1,000, 1/2 of 5'2\"": "$ 5.50 or 50 % of 1,000 1/2 of 5 2",
    "y'all gonna say 'tis O'Neil's o'clock, ma'am": "y' all gon na say 't is o'neil 's o'clock ma'am",
    "a dog and/or a cat :) !! what?! www.dog.com": "a dog and/or a cat :-rrb- !! what ?! www.dog.com",
    "An ant 's-eye-view , RIF=ding sleds , C++ #tag @user": "an ant 's eye-view rif = ding sleds c++ #tag @user",
    "un café, naïve 日本 \N{DOG FACE}dog": "un café naïve 日本 dog",
}


def java(captions: list[str]) -> list[str]:
    """The oracle's words. Every caption is a line to it, so that white space is collapsed first."""
    lines = {index: [{"caption": " ".join(caption.split())}] for index, caption in enumerate(captions)}
    found = PTBTokenizer().tokenize(lines)
    return [found[index][0] for index in range(len(captions))]


def ours(captions: list[str]) -> list[str]:
    return [" ".join(tokenize(caption)) for caption in captions]


def read_captions(root) -> list[str]:
    lines = (root / "Flickr8k.token.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("\t", 1)[1] for line in lines]


@pytest.mark.parametrize(("caption", "words"), ANSWERS.items())
def test_hard_captions(caption, words):
    assert " ".join(tokenize(caption)) == words


@needs_java
def test_the_answers_above_are_those_of_the_oracle():
    assert java(list(ANSWERS)) == list(ANSWERS.values())


@needs_java
def test_every_flickr8k_caption_as_in_java(flickr8k_root):
    captions = read_captions(flickr8k_root)
    assert len(captions) > 40_000
    assert [pair for pair in zip(ours(captions), java(captions), strict=True) if pair[0] != pair[1]] == []


@needs_java
def test_captions_as_people_type_them_as_in_java(flickr8k_root):
    """Flickr8k sets punctuation apart; here it is attached again, two sentences follow each other, and some are in capitals."""
    captions = [re.sub(r" ([.,!?;:)'])", r"\1", caption).replace("( ", "(") for caption in read_captions(flickr8k_root)[:40_000:4]]
    pairs = [f"{first} {second}" for first, second in zip(captions[::2], captions[1::2], strict=True)]
    marked = [caption for caption in captions if re.search(r"[^A-Za-z .]", caption)]
    hard = [*pairs, *marked, *(caption.upper() for caption in marked)]
    assert [pair for pair in zip(ours(hard), java(hard), strict=True) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("space", ["\n", "\r\n", "\t", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\xa0", "\u3000", "  "])
def test_every_white_space_only_parts_words(space):
    assert tokenize(f"{space}A dog{space}runs .{space}") == ["a", "dog", "runs"]


@pytest.mark.parametrize("caption", ["", " ", "\n", "...", ". , ! ?", "\" '", "-- -", "\N{DOG FACE}", "\ud83d"])
def test_captions_without_words(caption):
    assert tokenize(caption) == []


def test_the_caller_cannot_change_later_answers():
    tokenize("cannot").append("spoilt")
    assert tokenize("cannot") == ["can", "not"]


def test_long_nonsense_takes_no_longer_than_its_length():
    for piece in ("a", "a-", "a'", "a.", "'", "1.", "<a", "a!", "a_", "@"):
        assert tokenize(piece * 5_000) is not None  # a rule that tries all divisions would not come back


def test_the_name_in_signatures():
    assert re.fullmatch(r"ptb-nltk\d+\.\d+", tokenizer_name())


def test_words_that_are_parted_without_a_mark_are_those_of_nltk():
    found = {"".join(re.findall(r"\(([a-z']+)\)", rule)) for rule in MacIntyreContractions.CONTRACTIONS2}
    assert {word for word in found if word.isalpha()} == JOINED_WORDS
    for word in JOINED_WORDS:
        assert tokenize(word) == tokenize(f"{word}!") == TreebankWordTokenizer().tokenize(word) and len(tokenize(word)) == 2


@pytest.mark.parametrize("caption", ["A dog runs .", "two  men CANNOT sit", "a b c .", " . ", "", "dog .  ", "i wanna go ."])
def test_captions_of_letters_are_cut_as_with_a_mark_in_them(caption):
    assert tokenize(caption) == [word for word in tokenize(f"{caption} *") if word != "*"]
