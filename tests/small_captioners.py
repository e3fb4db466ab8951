"""Small captioners of ViT and GPT-2 in run folders, with random weights whose captions differ from picture to picture."""

from __future__ import annotations

import tokenizers
import torch
from omegaconf import OmegaConf
from PIL import Image
from tokenizers import decoders, models, pre_tokenizers, trainers

from soli.configuration import compose
from soli.datasets import ToyDataset
from soli.jobs.starting import completed
from soli.runs import build_captioner, build_tokenizer, write_run
from soli.training.checkpoint import Progress, save_checkpoint

SIDE = 32
TOY = ("dataset.num_train=40", "dataset.num_val=8", "dataset.num_test=8", "degradation=toy", "vocabulary.min_count=1")
SIZES = "hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 48, patch_size: 16"
SMALL = (
    *TOY,
    "encoder=vit_tiny",
    f"encoder.architecture={{{SIZES}}}",
    "encoder.weights=null",
    f"encoder.input_size={SIDE}",
    "decoder=tiny_gpt2",
    "decoder.architecture={n_embd: 48, n_layer: 2, n_head: 2, n_positions: 40}",
    "generation.max_tokens=12",
)


def plain(*overrides):
    return OmegaConf.to_container(compose(overrides), resolve=True)


def captions():
    return [caption for example in ToyDataset(num_train=40).examples("train") for caption in example.captions]


def make_run(folder, *overrides):
    """A run folder as training leaves it. Returns it."""
    config = completed(plain(*SMALL, *overrides))
    tokenizer = build_tokenizer(config, captions())
    torch.manual_seed(0)
    model = build_captioner(config, tokenizer)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.5)
        for block in model.decoder.gpt2.h:
            block.crossattention.c_attn.weight.mul_(20)  # what it sees matters
            block.crossattention.c_proj.weight.mul_(20)
        model.decoder.gpt2.wte.weight[tokenizer.end_id].mul_(1.5)  # some end early
    write_run(folder, config, tokenizer, {})
    save_checkpoint(folder / "best.safetensors", model, Progress())
    return folder


def make_byte_pairs(path, num_tokens=400):
    """A tokenizer.json of GPT-2's kind, trained on the toy captions."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=num_tokens, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(captions(), trainer)
    backend.save(str(path))
    return path


def make_pictures(folder, count=32, size=(SIDE, SIDE)):
    """Toy pictures as PNG files."""
    toy = ToyDataset(num_test=count)
    folder.mkdir(exist_ok=True)
    for example in toy.examples("test"):
        Image.fromarray(toy.read_image(example)).resize(size).save(folder / f"{example.image_id.replace('/', '_')}.png")
    return sorted(folder.iterdir())
