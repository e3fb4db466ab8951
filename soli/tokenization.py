"""Captions to words as the metrics count them: like pycocoevalcap's Java Penn Treebank tokenizer, in lower case, without punctuation.

A scanner cuts the caption by the rules below, which were written from the Java tokenizer's answers (tests/test_tokenization.py asks it
again); nltk's Treebank rules part the contractions.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version

# What pycocoevalcap drops. It names the brackets in capitals: those of lower-cased captions stay.
PUNCTUATION = frozenset(["'", "`", '"', ".", "?", "!", ",", ":", "-", "--", "...", ";", "\u2026", "\u2010", "\u2014"])
BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
SYMBOLS = {**BRACKETS, "£": "#", "€": "$", "¤": "$", "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&nbsp;": ""}
EXPANDED = str.maketrans({"½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 ", "⅓": " 1/3 ", "⅔": " 2/3 ", "¢": " cents ", "\xad": None})
PLAIN_MARKS = str.maketrans(  # curly and angle quotes, dashes; one for one, so that places in the caption stay
    "\u2019\u2018\u2039\u203a\u201c\u201d\u00ab\u00bb\u2012\u2013\u2015", "'``'" + 4 * '"' + 3 * "\u2014"
)
# Emoji (Java sees their two halves, and reads neither), invisible and control characters.
UNREADABLE = re.compile("[\U00010000-\U0010ffff\ufe00-\ufe0f\u200b-\u200f\x00-\x1f\x7f\ud800-\udfff]")

# Abbreviations that keep their full stop, in any case, as a name, and before a number.
ABBREVIATIONS = (
    "adj adm adv al ala alex apr ariz assn assoc asst att?ys? aug ave bancorp bhd bldg blvd brig bros calif capt cf cie cmdr co col colo"
    " comdr conn corp cos cpl ct dak dec dept det drs? elec ens esq est etc ext feb fla fri ft ga gen govs? hon inc ind insp intl invt jan"
    " jos jr jul jun kans? ky lieut lt ltd maj mar md messrs mfg mich minn mlle mme mo mon mont mrs? ms msgr mt mtg natl neb nev nov oct"
    " okla penn pfc ph plc pp?t[ey]s? pres profs? pvt rd reps? rev rt sens? sept? seq sfc sgt spc sq sr ste? supts? sys tel tenn thu thurs"
    " tues? univ va vs vt wed wisc? wm wyo ph\\.d ed\\.d"
)
NAMES = "Az La Pa Ark Del Ill Ore Tex Mass Miss Wash"
BEFORE_NUMBERS = "ca nos? op pp art figs? prop"
JOINED_WORDS = frozenset({"cannot", "gimme", "gonna", "gotta", "lemme", "wanna"})  # which nltk's Treebank rules part without a mark
# Before these a single letter's full stop ends a sentence and is no initial's. So it does where the caption ends: Java looks on to the next
# caption there, which nearly always begins with one of these.
SENTENCE_STARTS = (
    "A About After An As At But He Her Here However If In It Last Many More Once One Other Our She Since So Some Such That The Their Then"
    " There These They This We What When While Yet You"
)


def _one_of(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


LETTER, LETTER_OR_DIGIT = "[^\\W\\d_]", "[^\\W_]"
UNIT = (  # mp3, d'you, ma'am
    f"(?:[dlon]'(?={LETTER}{{2}}))?{LETTER_OR_DIGIT}+(?:(?<={LETTER}[aeiouy])'(?!em\\b)(?=[aeiou]){LETTER_OR_DIGIT}+)*"
)
DOTTED = f"{LETTER}+(?:\\.{LETTER}+)+(?!{LETTER_OR_DIGIT})"  # dog.com
HYPHENS = f"(?:[-_\u2010\u2011]{UNIT})*"
JOINED = f"{HYPHENS}(?:/{UNIT}{HYPHENS}){{0,2}}"

# The first rule that matches where the last one ended makes the next token.
RULES = {
    "plain": f"{LETTER}+(?=\\s|$)",  # most words: found at once
    "tag": "</?[a-z!][^<>'/\"]*/?>",
    "address": '(?:https?://|www\\.)[^\\s<>"()]*[^\\s<>"(),.;:!?\']|[\\w.+-]{1,64}@[\\w-]+(?:\\.[\\w-]+)*|@[a-z_]\\w*|#[a-z]+',
    "symbol": "&(?:amp|lt|gt|quot|apos|nbsp|#\\d+);",
    "bracket": "-[lr][rsc]b-",
    "smiley": "[<>]?[:;=][-o*']?(?:[][(){}@|\\\\]|[dpo](?![a-z]))|\\^_\\^",
    "currency": "(?-i:[A-Z]{1,2})\\$",
    "language": "c\\+\\+|[cf]#",
    "company": "(?-i:[A-Z]+(?:&[A-Z]+)+)(?![a-z])",
    "number": f"\\d+(?:[.,:]\\d+)+(?:-{LETTER}{LETTER_OR_DIGIT}*)+|[-+]?\\d*(?:[.,:]\\d+)+|[-+]\\d+(?!{LETTER_OR_DIGIT})",
    "acronym": f"(?:{UNIT}-)*?{LETTER}(?:\\.{LETTER})+\\.(?!{LETTER_OR_DIGIT}){JOINED}",
    "abbreviation": f"(?:{_one_of(ABBREVIATIONS)}|(?-i:{_one_of(NAMES + ' ' + NAMES.upper())}))\\.(?!{LETTER}){JOINED}",
    "numbered": f"{_one_of(BEFORE_NUMBERS)}\\.(?=\\s*\\d)",
    "initial": f"[a-z]\\.(?!{LETTER}|\\s*$|(?-i:\\s+{_one_of(SENTENCE_STARTS)}\\b))",
    "negated": f"{LETTER}*n't(?!{LETTER})|'t(?:is|was)(?:n't)?(?!{LETTER})",
    "whole": f"(?:cap'n|e'er|o'er|ev'ry|nat'l|c'mon|s'mores|(?:ol|somethin|dunkin)')(?![a-z])|y'(?=[a-z])|[dl]'(?!{LETTER}{{2}})|j'",
    "elided": f"'n'|'(?:n|em|til|cause|(?<!\\d')\\d\\ds?)(?!{LETTER_OR_DIGIT}|'{LETTER})",
    "clitic": f"'(?:s|m|d|ll|re|ve)(?!{LETTER_OR_DIGIT})",
    "exclaimed": f"{LETTER}+(?:[?!]{LETTER}+)+",
    "word": f"(?:{DOTTED}|{UNIT}){JOINED}",
    "mark": "\\*+|#+|@+|_+|--+|\\.+|[?!]+|<<|>>|\\S",
}
SCANNER = re.compile("|".join(f"(?P<{name}>{rule})" for name, rule in RULES.items()), re.IGNORECASE)


def tokenize(caption: str) -> list[str]:
    """The words of a caption, in lower case; none for a caption of punctuation only. Every kind of white space parts words alike."""
    letters = caption.removesuffix(" .")
    if letters.isascii() and letters.replace(" ", "").isalpha():  # most captions: each word is found by the rule `plain`
        return [part for word in letters.lower().split() for part in _part(word)]
    written = " ".join(UNREADABLE.sub(" ", caption.translate(EXPANDED)).split())
    tokens: list[str] = []
    for found in SCANNER.finditer(written.translate(PLAIN_MARKS)):
        token = written[found.start() : found.end()] if found.lastgroup in ("word", "elided") else found.group()
        tokens += _words(found.lastgroup, token.lower())
    return tokens


def tokenizer_name() -> str:
    """What a score's signature says of the words, `ptb-nltk3.10`."""
    return "ptb-nltk" + ".".join(version("nltk").split(".")[:2])


def _words(kind: str, token: str) -> list[str]:
    if kind in ("plain", "negated") or (kind == "word" and token.isalpha()):
        return _part(token)
    if kind == "smiley":
        return [token.replace("(", BRACKETS["("]).replace(")", BRACKETS[")"])]
    if kind in ("mark", "symbol"):
        token = SYMBOLS.get(token, token)
        return [] if token in PUNCTUATION or not token.strip(".-") else [token]
    return token.split()


@lru_cache(maxsize=1 << 16)
def _part(word: str) -> list[str]:
    """ca n't, can not, gon na."""
    if word.isascii() and word.isalpha() and word not in JOINED_WORDS:
        return [word]
    from nltk.tokenize import TreebankWordTokenizer  # slow to import

    return TreebankWordTokenizer().tokenize(word)
