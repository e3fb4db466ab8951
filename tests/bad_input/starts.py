"""What a training may start from besides random weights: (what is typed, what names the mistake, what to do)."""

from __future__ import annotations

import torch

GLOVE = "train decoder=att_lstm_glove decoder.embedding_dim=2 decoder.glove"
RESNET = "train encoder=resnet18 encoder.input_size=32 encoder.weights"
GPT2 = "train decoder=tiny_gpt2 decoder.tokenizer"
VIT = "train encoder=vit_tiny encoder.weights"
FILES = {
    "glove/wide.txt": "red 1 2 3\nblue 4 5 6\n",
    "glove/cut.txt": "red 1 2\nblue 3 4\ngreen 5\nthe 3 x4\n",
    "glove/binary.txt": b"red \xff\xfe 1 2\n",
    "weights/text.pth": "weights",
    "weights/list.pth": lambda path: torch.save([torch.zeros(2)], path),
    "weights/other.pth": lambda path: torch.save({"layer.weight": torch.zeros(2)}, path),
    "weights/bert/config.json": '{"model_type": "bert"}',
    "weights/bare/config.json": '{"model_type": "vit"}',
    "tokenizers/broken/tokenizer.json": "{",
    "tokenizers/words/tokenizer.json": '{"model": {"type": "WordLevel", "vocab": {"a": 0}}}',
}
CASES = [
    # another run
    ("train init_from=", "init_from= holds an empty text", "give text or null"),
    ("train init_from=runs/small encoder.feature_dim=128", "encoder.feature_dim=32 there, 128 here", "Use the config of its own run"),
    ("train init_from=runs/small vocabulary.min_count=9", "vocabulary.min_count=9 asks for other words than", "leave it out"),
    ("train init_from=runs/small model.pretrained=runs/vit", "are two starts", "leave one of them out"),
    # a captioner of transformers
    ("train model.pretrained=", "model.pretrained= holds an empty text", "give text or null"),
    ("train model.pretrained=./nowhere", "model.pretrained=./nowhere does not exist", "Give model.pretrained a local folder"),
    ("train model.pretrained=empty", "model.pretrained=empty has no readable config.json", "give a folder that transformers has saved"),
    ("train model.pretrained=weights/bert", "is a bert", "a vision-encoder-decoder is needed"),
    ("train model.pretrained=runs/small encoder=resnet18", "encoder=resnet18 is for a ResNetEncoder", "Leave it out"),
    # encoders
    (f"{RESNET}=.", "encoder.weights=. is a folder", "give a file for this encoder"),
    (f"{RESNET}=nowhere.pth", "encoder.weights=nowhere.pth is neither a file nor", "names for this network: "),
    (f"{RESNET}=weights/text.pth", "encoder.weights=weights/text.pth cannot be read as a file of tensors", "Give"),
    (f"{RESNET}=weights/list.pth", "encoder.weights=weights/list.pth is not a state dict", "Give"),
    (f"{RESNET}=weights/other.pth", "weights/other.pth does not hold the weights of resnet18", "Choose the encoder they belong to"),
    (f"{VIT}=empty", "encoder.weights=empty has no readable config.json", "give a folder"),
    (f"{VIT}=weights/bert", "is a bert", "allowed are"),
    (f"{VIT}=weights/bare", "encoder.weights=weights/bare is of another architecture", "Choose the encoder it belongs to"),
    # word vectors
    (f"{GLOVE}=nowhere.txt", "decoder.glove=nowhere.txt cannot be read", "Give a GloVe text file, or null"),
    (f"{GLOVE}=glove/wide.txt", "decoder.glove=glove/wide.txt has vectors of width 3", "set decoder.embedding_dim=3"),
    (f"{GLOVE}=glove/cut.txt", "decoder.glove=glove/cut.txt is broken in line 4", "Download or unpack the file again"),
    (f"{GLOVE}=glove/binary.txt", "decoder.glove=glove/binary.txt is not UTF-8", "give a GloVe text file"),
    # tokens
    (f"{GPT2}=./nowhere", "decoder.tokenizer=./nowhere does not exist", "Give decoder.tokenizer a local folder"),
    (f"{GPT2}=tokenizers/broken", "decoder.tokenizer=tokenizers/broken cannot be read", "Give"),
    (f"{GPT2}=tokenizers/words", "decoder.tokenizer=tokenizers/words holds whole words, but not soli's", "Give"),
]
