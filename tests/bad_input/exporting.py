"""Runs that soli.export cannot export, and places where it cannot write: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

SCORES = "evaluation/test/metrics.json"
RUNS = {
    "empty_scores": ("vit", {SCORES: "{}"}),
    "list_scores": ("vit", {SCORES: "[1]"}),
    "cut_scores": ("vit", {SCORES: '{"rows": [{"condition": "orig'}),
    "wordless": ("vit", {"vocabulary.json": None}),
}
CASES = [
    ("export", "run, to must be given", "add run=<value> to=<value>"),
    ("export to=new", "run must be given", "add run=<value>"),
    ("export run=runs/small to=new", "this run has TinyEncoder and AttentionLSTM", "encoder=vit_b16 decoder=gpt2"),
    ("export run=runs/match to=new", "run=runs/match has learnt no captions", "soli.evaluate metrics=retrieval"),
    ("export run=runs/vit to=", "to= holds an empty text", "give text"),
    ("export run=runs/vit to=pictures", "to=pictures exists already", "Give another one, or move it away"),
    ("export run=runs/vit to=file.txt", "to=file.txt exists already", "Give another one, or move it away"),
    ("export run=runs/vit to=file.txt/new", "file.txt", "Check the path"),
    ("export run=runs/vit to=deep/er/new checkpoint=last", "no checkpoint runs/vit/last.safetensors", "Its folder holds: best"),
    ("export run=runs/vit to=new program=perhaps", "program=perhaps", "true or false"),
    ("export run=runs/empty_scores to=new", f"runs/empty_scores/{SCORES} is damaged", "evaluate the run again"),
    ("export run=runs/list_scores to=new", f"runs/list_scores/{SCORES} is damaged", "evaluate the run again"),
    ("export run=runs/cut_scores to=new", f"runs/cut_scores/{SCORES} is damaged", "evaluate the run again"),
    ("export run=runs/wordless to=new", "vocabulary.json (or tokenizer.json) is missing", "Take it from a copy of the run"),
]
