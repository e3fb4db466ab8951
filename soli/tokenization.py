"""Captions to words as the metrics count them: pycocoevalcap's Java Penn Treebank tokenizer in lower case, without its punctuation.

A scanner cuts the caption by the rules below, written from the Java tokenizer's answers; nltk's Treebank rules part the contractions.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version

from nltk.tokenize import TreebankWordTokenizer

# What pycocoevalcap drops. It lists the brackets in capitals, so that those of lower-cased captions stay.
PUNCTUATION = frozenset(["''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";"])

QUOTES = str.maketrans(
    {"’": "'", "‘": "`", "‹": "`", "›": "'", **dict.fromkeys("“”«»", '"'), **dict.fromkeys("‐", "-"), **dict.fromkeys("‒–—―", "\u2014")}
)
SYMBOLS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", "£": "#", "€": "$", "¢": "cents", "½": "1/2"}
