"""The line that goes with every score: what was measured, how captions were cut into words, on what, by which version."""

from __future__ import annotations

from soli.generation_options import GenerationOptions
from soli.interfaces import SoliError
from soli.tokenization import tokenizer_name
from soli.version import __version__


def generation_entry(options: GenerationOptions) -> str:
    """How captions were generated: `beam3,max30,length1`, `greedy,...` or `sample,...`, and what else is not as by default."""
    search = "sample" if options.sample else f"beam{options.num_beams}" if options.num_beams > 1 else "greedy"
    entries = [search, f"max{options.max_tokens}", f"length{options.length_penalty:g}"]
    entries += [f"min{options.min_tokens}"] if options.min_tokens else []
    entries += [f"norepeat{options.no_repeat_ngram}"] if options.no_repeat_ngram is not None else []
    entries += [f"{name.replace('_', '')}{value:g}" for name, value in options.filters.items()]
    return ",".join([*entries, f"seed{options.seed}"] if options.sample else entries)


def signature(metric: str = "BLEU,METEOR,ROUGE-L,CIDEr", **facts: object) -> str:
    """`CIDEr|level:word|tok:ptb-...|refs:5|gen:beam3|soli:0.1.0`: the facts stand in the order in which they are given.

    Two scores may be compared when their signatures are equal. Raises SoliError when a value contains the separator `|` or a line break.
    """
    entries = {"level": "word", "tok": tokenizer_name(), **facts, "soli": __version__}
    for name, value in {"metric": metric, **entries}.items():
        if "|" in str(value) or len(str(value).splitlines()) > 1:
            raise SoliError(f"The signature's {name} is {str(value)!r}: it may contain neither '|' nor a line break; write it without.")
    return "|".join([metric, *(f"{name}:{value}" for name, value in entries.items())])
