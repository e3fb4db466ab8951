"""Nothing is ever unpickled: wherever a file can be given, a pickle is refused, and what it would do is not done."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
import transformers
from safetensors.torch import save_file

import soli
from soli.bridge import pretrained_sections, read_tokens
from soli.datasets import FolderDataset, KarpathyDataset, read_photograph
from soli.decoders import GPT2Decoder
from soli.degradations import parse
from soli.encoders import ResNetEncoder, ViTEncoder
from soli.feature_cache import FeatureCache
from soli.glove import load_glove
from soli.interfaces import SoliError
from soli.training.checkpoint import load_weights, read_progress
from soli.vocabulary import Vocabulary
from tests.small_run_files import Mark, pickles, write_run
from tests.training.small_runs import make_model, toy_data

KINDS = ("plain", "torch", "old torch", "npy", "npz")
SIZES = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 40, "patch_size": 8}
GPT2 = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 9}


def in_a_file(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    """`read` of a file of this name that holds the pickle."""

    def attempt(folder: Path, content: bytes) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return attempt


def vit_folder(name: str) -> Callable[[Path, bytes], object]:
    """A ViT's folder whose weights, in a file of this name, are the pickle."""

    def attempt(folder: Path, content: bytes) -> object:
        transformers.ViTConfig(**SIZES, image_size=32).save_pretrained(folder)
        (folder / name).write_bytes(content)
        return ViTEncoder({"model_type": "vit", **SIZES}, str(folder), input_size=32)

    return attempt


def gpt2_folder(folder: Path, content: bytes) -> object:
    transformers.GPT2Config(**GPT2, vocab_size=9).save_pretrained(folder)
    for name in ("pytorch_model.bin", "model.safetensors"):
        (folder / name).write_bytes(content)
    return GPT2Decoder(8, tuple("abcdefghi"), GPT2, weights=str(folder))


def whole_captioner(folder: Path, content: bytes) -> object:
    (folder / "config.json").write_bytes(content)
    return pretrained_sections(str(folder), {}, {})


def captions_of(kind: str) -> Callable[[Path, bytes], object]:
    def attempt(folder: Path, content: bytes) -> object:
        (folder / "images").mkdir()
        (folder / kind).write_bytes(content)
        return KarpathyDataset("mine", str(folder)) if kind.endswith("mine.json") else FolderDataset(str(folder))

    return attempt


PLACES: dict[str, Callable[[Path, bytes], object]] = {
    "encoder.weights=.pth": in_a_file("a.pth", lambda path: ResNetEncoder("resnet18", str(path))),
    "encoder.weights=.bin": in_a_file("a.bin", lambda path: ResNetEncoder("resnet18", str(path))),
    "encoder.weights=.safetensors": in_a_file("a.safetensors", lambda path: ResNetEncoder("resnet18", str(path))),
    "encoder.weights=<ViT>, pytorch_model.bin": vit_folder("pytorch_model.bin"),
    "encoder.weights=<ViT>, model.safetensors": vit_folder("model.safetensors"),
    "decoder.weights=<GPT-2>": gpt2_folder,
    "model.pretrained": whole_captioner,
    "best.safetensors of a run": lambda folder, content: soli.load(write_run(folder / "run", best=content)),
    "vocabulary.json of a run": lambda folder, content: soli.load(write_run(folder / "run", vocabulary=content)),
    "config.yaml of a run": lambda folder, content: soli.load(write_run(folder / "run", config=content)),
    "init_from": in_a_file("best.safetensors", lambda path: load_weights(path, torch.nn.Linear(2, 2))),
    "resume": in_a_file("last.safetensors", read_progress),
    "decoder.tokenizer": in_a_file("tokenizer.json", lambda path: read_tokens(str(path.parent))),
    "vocabulary": in_a_file("vocabulary.json", Vocabulary.load),
    "decoder.glove": in_a_file("glove.txt", lambda path: load_glove(path, ("a", "dog"), 3)),
    "a photograph": in_a_file("a.jpg", read_photograph),
    "captions.csv": captions_of("captions.csv"),
    "captions.jsonl": captions_of("captions.jsonl"),
    "dataset_mine.json": captions_of("dataset_mine.json"),
}


def test_the_pickles_do_what_they_are_for(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for name, content in pickles(mark).items():
        (tmp_path / "file").write_bytes(content)
        if name in ("torch", "old torch"):
            torch.load(tmp_path / "file", weights_only=False)
        else:
            np.asarray(
                np.load(tmp_path / "file", allow_pickle=True)["weights"] if name == "npz" else np.load(tmp_path / "file", allow_pickle=True)
            )
        assert mark.exists(), name
        mark.unlink()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_is_refused(tmp_path: Path, place: str, kind: str) -> None:
    with pytest.raises(SoliError):
        PLACES[place](tmp_path, pickles(tmp_path / "mark")[kind])
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_are_pickles_are_made_anew(tmp_path: Path, kind: str) -> None:
    data, original = toy_data(2), [parse("original")]
    said: list[str] = []

    def features() -> torch.Tensor:
        cache = FeatureCache(tmp_path / "cache", make_model(data.tokenizer), say=said.append)
        cache.ensure(data, original, progress=False)
        return cache.features(data.examples, original * 2)

    expected = features()
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.write_bytes(pickles(tmp_path / "mark")[kind])
    assert torch.equal(features(), expected) and any("damaged" in sentence for sentence in said)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_torchvisions_weights_are_read_as_tensors_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_norm: str) -> None:
    """Where torchvision keeps its downloads lies a pickle, or comes from its address; then weights as it publishes them."""
    asked: list[str] = []

    def download(url: str, path: str, hash_prefix: str) -> None:
        asked.append(url)
        assert url.startswith("https://download.pytorch.org/") and hash_prefix in url and len(hash_prefix) == 8
        Path(path).write_bytes(pickles(tmp_path / "mark")["torch"])

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    for _ in range(2):
        with pytest.raises(SoliError, match="cannot be read as a file of tensors"):
            ResNetEncoder("resnet18", "DEFAULT", batch_norm=batch_norm)
    assert len(asked) == 1 and not (tmp_path / "mark").exists()
    network = torchvision.models.resnet18(weights=None)
    (kept,) = (tmp_path / "checkpoints").iterdir()
    torch.save(network.state_dict(), kept)
    ours = ResNetEncoder("resnet18", "IMAGENET1K_V1", batch_norm=batch_norm)
    assert torch.equal(ours.stages[3][1].conv2.weight, network.layer4[1].conv2.weight)


def test_of_a_strangers_model_only_numbers_and_tensors_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder may name code, kernels, adapters, quantizers and other files: none of them is opened."""
    torch.manual_seed(0)
    model = transformers.ViTModel(transformers.ViTConfig(**SIZES, image_size=32), add_pooling_layer=False).eval()
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {
        "auto_map": {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"},
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True},
        "transformers_weights": "../evil.bin",
        "trust_remote_code": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "someone/else", "auto_mapping": {"parent_library": "evil"}}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps(Mark(tmp_path / "mark")))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"layernorm.weight": "../evil.bin"}}))
    opened: list[str] = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    with watched_opens(monkeypatch, tmp_path, opened):
        ours = ViTEncoder({"model_type": "vit", **SIZES}, str(tmp_path), input_size=32).eval()
    assert set(opened) <= {"config.json", "model.safetensors"} and not (tmp_path / "mark").exists()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(images), model((images - 0.5) / 0.5).last_hidden_state, atol=1e-5)


def watched_opens(monkeypatch: pytest.MonkeyPatch, folder: Path, opened: list[str]):
    """Within it the names of all files of the folder that Python opens are noted."""
    import builtins
    import io
    from contextlib import contextmanager

    @contextmanager
    def watching():
        before = builtins.open

        def noted(file, *positional, **named):
            if str(file).startswith(str(folder)):
                opened.append(Path(file).name)
            return before(file, *positional, **named)

        with monkeypatch.context() as patched:
            patched.setattr(builtins, "open", noted)
            patched.setattr(io, "open", noted)
            yield

    return watching()


def test_a_config_of_a_giant_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    giant = {"hidden_size": 120_000, "num_hidden_layers": 3, "num_attention_heads": 1, "intermediate_size": 120_000, "patch_size": 8}
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "gpt2", "n_embd": 120_000, "n_layer": 3, "n_head": 1, "n_positions": 9})
    )
    save_file({"wte.weight": torch.zeros(9, 8)}, tmp_path / "model.safetensors")
    architecture = {"n_embd": 120_000, "n_layer": 3, "n_head": 1, "n_positions": 9}
    with pytest.raises(SoliError, match="describes .* parameters, and the files hold 72"):
        GPT2Decoder(8, tuple("abcdefghi"), architecture, weights=str(tmp_path))
    with pytest.raises(SoliError, match="hidden_size=10000000 must be a whole number from 1 to"):
        ViTEncoder({"model_type": "vit", **giant, "hidden_size": 10_000_000})


GIANT = {"hidden_size": 16_384, "num_hidden_layers": 100, "num_attention_heads": 1, "intermediate_size": 16_384, "patch_size": 8}
SMALL_WORDS = {"model_type": "gpt2", **GPT2, "vocab_size": 9}


@pytest.mark.parametrize(
    ("vision", "words"),
    [
        ({"model_type": "vit", **GIANT}, SMALL_WORDS),
        ({"model_type": "vit", **SIZES, "image_size": 100_000}, SMALL_WORDS),
        ({"model_type": "vit", **SIZES}, {**SMALL_WORDS, "n_embd": 16_384, "n_layer": 100}),
        ({"model_type": "vit", **SIZES}, {**SMALL_WORDS, "vocab_size": 1 << 40}),
    ],
    ids=["layers", "positions", "decoder", "tokens"],
)
def test_a_pretrained_captioner_that_claims_to_be_a_giant_is_refused_before_memory_is_taken(
    tmp_path: Path, vision: dict, words: dict
) -> None:
    config = {"model_type": "vision-encoder-decoder", "encoder": vision, "decoder": words}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    save_file({"a": torch.zeros(9, 8)}, tmp_path / "model.safetensors")
    with pytest.raises(SoliError, match="model.pretrained=.* describes .* parameters, and the files hold 72"):
        pretrained_sections(str(tmp_path), {}, {})


def test_weights_of_an_encoder_are_compared_with_its_config_before_it_is_built(tmp_path: Path) -> None:
    """Its first model is one without memory: one with memory would take 640 GB."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", **GIANT}))
    save_file({"a": torch.zeros(9, 8)}, tmp_path / "model.safetensors")
    built = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transformers.ViTModel, "__init__", lambda *_, **__: built.append(torch.empty(0).device.type) or 1 / 0)
        with pytest.raises(SoliError, match="division by zero"):
            ViTEncoder({"model_type": "vit", **GIANT}, str(tmp_path), input_size=32)
    assert built == ["meta"]
    with pytest.raises(SoliError, match="encoder.weights=.* describes .* parameters, and the files hold 72"):
        ViTEncoder({"model_type": "vit", **GIANT}, str(tmp_path), input_size=32)
