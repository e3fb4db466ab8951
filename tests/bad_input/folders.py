"""Folders of runs that are none, taken, or a file: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

NONE = "is not a run folder"
TRAIN = "Train one with soli.train"
CASES = [
    ("evaluate", "Neither run nor runs is given", "give run=<folder>"),
    ("evaluate run=", "run= holds an empty text", "give text"),
    ("evaluate run=nowhere", f"run=nowhere {NONE}", TRAIN),
    ("evaluate run=runs/smal", f"run=runs/smal {NONE}", "runs beside it"),
    ("caption run=nowhere images=[pictures/a.png]", f"run=nowhere {NONE}", TRAIN),
    ("export run=nowhere to=new", f"run=nowhere {NONE}", TRAIN),
    ("python soli.load('nowhere')", f"run=nowhere {NONE}", TRAIN),
    ("python soli.load('runs/small', checkpoint='final')", "runs/small/final.safetensors", "Its folder holds: best.safetensors"),
    ("python soli.load('runs/small', device='gpu')", "runtime.device=gpu is not a device", "use cpu"),
    # a new run
    ("train run_dir=", "run_dir= holds an empty text", "give text or null"),
    ("train run_dir=file.txt", "file.txt", "give another run_dir"),
    ("train run_dir=file.txt/run", "file.txt/run", "give another run_dir"),
    ("train run_dir=runs/small", "runs/small already holds a run", "resume=runs/small"),
    ("train run_dir=pictures", "run_dir=pictures is no run folder, and not empty: it holds a.png", "for example run_dir=pictures/run"),
    ("train run_dir=runs", "run_dir=runs is no run folder, and not empty", "for example run_dir=runs/run"),
    # a run that goes on
    ("train resume=", "resume= holds an empty text", "give text or null"),
    ("train resume=runs/small optimizer.lr=1", "optimizer.lr was 0.001, is 1", "Leave it out, or start a new run"),
    ("train resume=runs/small run_dir=other", "run_dir was", "Leave it out, or start a new run"),
    ("train resume=runs/small decoder=tiny_gpt2", "decoder was", "Leave it out, or start a new run"),
    ("train resume=runs/small runtime.device=cuda:99", "runtime.device=cuda:99 is not there", "Use runtime.device=cpu"),
    # features
    ("train features.cache=", "features.cache= holds an empty text", "give text or null"),
]
