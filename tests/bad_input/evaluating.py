"""What soli.evaluate cannot do: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

SMALL, MATCH = "evaluate run=runs/small", "evaluate run=runs/match metrics=retrieval"
EXAMPLES = "Write for example original, R0.1S50"
CASES = [
    # which runs
    (f"{SMALL} runs=[runs/small,runs/twin]", "Both run and runs are given", "give run=<folder> to evaluate one run"),
    ("evaluate runs=[]", "runs is empty", "two at least"),
    ("evaluate runs=[runs/small]", "runs has only runs/small", "give two at least"),
    ("evaluate runs=[runs/small,./runs/small]", "runs/small more than once", "give every run once"),
    ("evaluate runs=[runs/small,nowhere]", "runs=nowhere is not a run folder", "Train one with soli.train"),
    ("evaluate runs=[runs/small,runs/vit]", "runs/small and runs/vit do not compare, for their conditions differ", "by conditions=[...]"),
    ("evaluate runs=[runs/small,runs/match]", "runs/match has learnt no captions", "give metrics=retrieval"),
    (f"{SMALL} split=tset", "split=tset is not a split of toy", "choose one of train, val, test"),
    (f"{SMALL} checkpoint=first", "checkpoint=first", "must be best or last"),
    ("evaluate run=runs/vit checkpoint=last", "no checkpoint runs/vit/last.safetensors", "checkpoint=best"),
    # conditions
    (f"{SMALL} conditions=[]", "conditions is empty", "name at least one"),
    (f"{SMALL} conditions=[R0.1]", "'R0.1' does not parse", "expected S<steps> after the ratio"),
    (f"{SMALL} conditions=[R0S1]", "'R0S1' does not parse", "a ratio above 0 and at most 1"),
    (f"{SMALL} conditions=[R0,5S1]", "'R0' does not parse", EXAMPLES),
    (f"{SMALL} conditions=[R0.005S1]", "The picture test-00000 is too small: condition 'R0.005S1'", "use a larger ratio"),
    (f"{MATCH} conditions=[R0.005S1]", "The picture test-00000 is too small: condition 'R0.005S1'", "use a larger ratio"),
    # metrics
    (f"{SMALL} metrics=[CIDR]", "no metric 'CIDR'", "did you mean CIDEr?"),
    (f"{SMALL} metrics=[]", "metrics is []", "give a list of some of BLEU"),
    (f"{SMALL} metrics=standrad", "metrics=standrad", "did you mean standard?"),
    (f"{SMALL} metrics=CIDEr", "metrics=CIDEr is no preset", "or give a list"),
    (f"{SMALL} metrics=[retrieval,BLEU]", "retrieval scores no captions", "as metrics=retrieval"),
    (f"{SMALL} metrics=retrieval", "runs/small was not trained to match", "leave metrics out"),
    ("evaluate run=runs/match", "runs/match has learnt no captions", "give metrics=retrieval"),
    (f"{MATCH} fold_size=1", "fold_size=1", "at least 2"),
    (f"{MATCH} fold_size=4", "fold_size=4 would leave out 2 of the 6 photographs", "dataset.limit=4"),
    (f"{MATCH} dataset.limit=1", "fewer than two photographs", "give more"),
    (f"{MATCH} compare=paper", "compare=paper is about captions", "leave one of them out"),
    (f"{MATCH} generation.num_beams=2", "generation.num_beams=2", "Leave it out"),
    # what is written
    (f"{SMALL} output=file.txt", "output=file.txt is a file", "give a folder"),
    (f"{SMALL} output=file.txt/inside", "file.txt/inside: Not a directory", "Check the path"),
    # data
    (f"{SMALL} dataset.limit=0", "dataset.limit is 0", "from 1 on, or null"),
    # generation
    (f"{SMALL} generation.num_beams=0", "generation.num_beams=0", "1: greedy search"),
    (f"{SMALL} generation.num_beams=1000000", "generation.num_beams=1000000", "at most 1000"),
    (f"{SMALL} generation.max_tokens=1000000000", "generation.max_tokens=1000000000", "at most 10000"),
    (f"{SMALL} generation.sample=true", "generation.sample=true draws one caption", "add generation.num_beams=1"),
    (f"{SMALL} generation.sample=true generation.num_beams=1 generation.temperature=0", "temperature=0", "must be a number above 0"),
    ("evaluate run=runs/vit generation.max_tokens=41", "generation.max_tokens=41 is more than this decoder's 40", "lower it"),
    # the machine
    (f"{SMALL} runtime.threads=9999999", "runtime.threads=9999999", "at most 1024"),
    (f"{SMALL} runtime.device=cuda:99", "runtime.device=cuda:99", "Use runtime.device=cpu"),
    (f"{SMALL} runtime.precision=fp16", "runtime.precision=fp16 is for training", "evaluate with fp32 or bf16"),
]
