"""What the scripts refuse before their long work: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

PROBE = "linear_probe --run runs/small"
NEGATIVES = "hard_negatives variant=matching --out new --matching vse --seeds 0"
CASES = [
    ("linear_probe --run nowhere", "run=nowhere is not a run folder", "Train one with soli.train"),
    (f"{PROBE} --words unicorn", "0 photographs of toy have one of unicorn", "Choose other --words"),
    (f"{PROBE} --photographs 0", "--photographs 0", "must be at least 4"),
    (f"{PROBE} --photographs -4", "--photographs -4", "must be at least 4"),
    (f"{PROBE} --photographs many", "--photographs: invalid int value: 'many'", "int"),
    (f"{PROBE} --conditions R9X", "'R9X' does not parse", "a ratio above 0 and at most 1"),
    (f"{PROBE} --words red --conditions R0.001S1", "'R0.001S1' would leave less than one pixel", "use a larger ratio"),
    (f"{PROBE} --words red --cache file.txt", "features.cache: file.txt", "give another folder"),
    (f"{PROBE} -- seed=1", "--run=runs/small has a config of its own", "leave out seed=1"),
    ("linear_probe -- init_from=somewhere", "init_from are not probed", "give encoder.weights, or --run"),
    ("linear_probe -- dataset=folder", "dataset.root is not set", "give the folder"),
    ("linear_probe -- encoder=nothing", "encoder=nothing", "Choose one of"),
    ("hard_negatives variant=matching", "the following arguments are required: --out", "--out"),
    ("hard_negatives --out new", "match no photographs and captions", "give variant=matching"),
    (f"{NEGATIVES} 0", "--seeds 0 0 has one twice", "give each once"),
    (f"{NEGATIVES} --jobs 0", "--jobs 0", "must be at least 1"),
    (f"{NEGATIVES} --matching vse vse", "--matching vse vse has one twice", "give each once"),
    (f"{NEGATIVES} --matching vsee", "matching has no choice vsee", "did you mean vse?"),
    (f"{NEGATIVES} --matching vse:margin=2", "no key matching.margin", "matching has"),
    (f"{NEGATIVES} --conditions R0.5", "'R0.5' does not parse", "Write for example"),
    (f"{NEGATIVES} --out file.txt", "--out file.txt is a file", "give a folder"),
    ("hard_negatives variant=matching optimiser.lr=1 --out new", "optimiser.lr", "did you mean optimizer.lr?"),
    ("orthogonal_sweep optimizer.lr=1..2", "the following arguments are required: --out", "--out"),
    ("orthogonal_sweep optimizer.lr=0.1 --out new", "There is no factor", "optimizer.lr=log:1e-4..3e-3"),
    ("orthogonal_sweep optimizer.lrr=1..2 --out new", "no key optimizer.lrr", "did you mean optimizer.lr?"),
    ("orthogonal_sweep negatives=[in_batch,hardst] --out new", "negatives has no choice hardst", "did you mean hardest?"),
    ("orthogonal_sweep loader.batch_size=0.2..0.7 --out new", "loader.batch_size=0.35", "must be a whole number"),
    ("orthogonal_sweep negatives=[in_batch,hardest] --levels 4 --out new", "--levels: invalid choice: 4", "2, 3"),
    ("orthogonal_sweep negatives=[in_batch,hardest] --out file.txt", "--out file.txt is a file", "give a folder"),
]
