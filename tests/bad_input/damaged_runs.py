"""Runs that have lost a file, or have a damaged or foreign one: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

import shutil

import torch
from safetensors.torch import save_file

from tests.bad_input.workplace import broken_weights, cut, replaced

COPY, FEWER = "Take it from a copy of the run", "metrics=[BLEU] report=false cost=false"
RUNS = {
    "lost_config": ("small", {"config.yaml": None}),
    "lost_vocabulary": ("small", {"vocabulary.json": None}),
    "lost_best": ("small", {"best.safetensors": None}),
    "lost_weights": ("small", {"last.safetensors": None, "best.safetensors": None}),
    "cut_best": ("small", {"best.safetensors": cut(200)}),
    "empty_best": ("small", {"best.safetensors": b""}),
    "cut_last": ("small", {"last.safetensors": cut(200)}),
    "foreign_last": ("small", {"last.safetensors": lambda path: save_file({"weight": torch.zeros(2)}, path)}),
    "others_best": ("small", {"best.safetensors": lambda path: shutil.copy(path.parents[1] / "vit" / path.name, path)}),
    "broken_best": ("small", {"best.safetensors": broken_weights}),
    "empty_config": ("small", {"config.yaml": ""}),
    "list_config": ("small", {"config.yaml": "- 1\n- 2\n"}),
    "cut_config": ("small", {"config.yaml": "seed: [0"}),
    "binary_config": ("small", {"config.yaml": b"\xff\xfe\x00\x01"}),
    "odd_config": ("small", {"config.yaml": replaced("lr: 0.001", "lr: fast")}),
    "misspelt_config": ("small", {"config.yaml": replaced("num_train: 24", "num_trian: 24")}),
    "foreign_config": ("small", {"config.yaml": replaced("soli.encoders.TinyEncoder", "os.system")}),
    "wider_config": ("small", {"config.yaml": replaced("feature_dim: 32", "feature_dim: 64")}),
    "more_data": ("small", {"config.yaml": replaced("num_train: 24", "num_train: 25")}),
    "cut_vocabulary": ("small", {"vocabulary.json": "[1, 2"}),
    "object_vocabulary": ("small", {"vocabulary.json": "{}"}),
    "empty_vocabulary": ("small", {"vocabulary.json": ""}),
    "odd_tokenizer": ("small", {"tokenizer.json": "{}"}),
    "transformers": ("small", {"config.yaml": None, "vocabulary.json": None, "config.json": "{}"}),
}


def _evaluate(run: str) -> str:
    return f"evaluate run=runs/{run} {FEWER}"


CASES = [
    (_evaluate("lost_vocabulary"), "run=runs/lost_vocabulary is not a whole run: vocabulary.json", COPY),
    (_evaluate("lost_best"), "no checkpoint runs/lost_best/best.safetensors", "checkpoint=last"),
    (_evaluate("lost_weights"), "no checkpoint runs/lost_weights/best.safetensors", "Its folder holds: config.yaml"),
    (_evaluate("cut_best"), "runs/cut_best/best.safetensors is damaged", "Use another checkpoint"),
    (_evaluate("others_best"), "runs/others_best/best.safetensors belongs to another architecture", "Use the config of its own run"),
    (_evaluate("broken_best"), "the weights runs/broken_best/best.safetensors are broken", "or runtime.precision"),
    (_evaluate("empty_config"), "runs/empty_config/config.yaml is damaged", COPY),
    (_evaluate("binary_config"), "runs/binary_config/config.yaml is damaged", COPY),
    (_evaluate("odd_config"), "optimizer.lr=fast must be a number", COPY),
    (_evaluate("misspelt_config"), "there is no key dataset.num_trian (did you mean num_train?)", COPY),
    (_evaluate("foreign_config"), "encoder._target_=os.system is not a part of soli", "Name a class of"),
    (_evaluate("wider_config"), "runs/wider_config/best.safetensors belongs to another architecture", "Use the config of its own run"),
    (_evaluate("cut_vocabulary"), "runs/cut_vocabulary/vocabulary.json does not hold a vocabulary", COPY),
    (_evaluate("odd_tokenizer"), "runs/odd_tokenizer/tokenizer.json cannot be read", "Give"),
    (_evaluate("transformers"), "run=runs/transformers is a model in transformers' form", "model.pretrained=runs/transformers"),
    ("caption run=runs/cut_best images=pictures", "runs/cut_best/best.safetensors is damaged", "Use another checkpoint"),
    ("caption run=runs/lost_vocabulary images=pictures", "vocabulary.json", COPY),
    ("train resume=runs/lost_config", "resume=runs/lost_config is not a whole run: config.yaml is missing", COPY),
    ("train resume=runs/lost_vocabulary", "vocabulary.json (or tokenizer.json) is missing", COPY),
    ("train resume=runs/cut_last", "runs/cut_last/last.safetensors is damaged", "start a new run with init_from=runs/cut_last"),
    ("train resume=runs/foreign_last", "runs/foreign_last/last.safetensors is damaged or no checkpoint", "start a new run with init_from="),
    ("train resume=runs/more_data", "runs/more_data/last.safetensors was written with other settings: dataset", "Restore them to resume"),
    ("train run_dir=runs/lost_config", "runs/lost_config holds last.safetensors", "give another run_dir"),
    ("python soli.load('runs/lost_config')", "config.yaml is missing", COPY),
    ("python soli.load('runs/object_vocabulary')", "runs/object_vocabulary/vocabulary.json", COPY),
    ("python soli.load('runs/list_config')", "runs/list_config/config.yaml", COPY),
    ("python soli.load('runs/empty_best')", "runs/empty_best/best.safetensors", "Use another checkpoint"),
    ("python soli.load('runs/cut_config')", "runs/cut_config/config.yaml", COPY),
    ("python soli.load('runs/empty_vocabulary')", "runs/empty_vocabulary/vocabulary.json", COPY),
    ("python soli.load('runs/others_best')", "belongs to another architecture", "Use the config of its own run"),
]
