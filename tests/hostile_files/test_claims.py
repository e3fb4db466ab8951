"""Files with absurd claims: of lengths, numbers of tokens, depths and sizes. Each is refused in a sentence, at once."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch

from soli.bridge import read_tokens
from soli.byte_pairs import BytePairs
from soli.datasets import FolderDataset, KarpathyDataset
from soli.datasets.records import LONGEST_CAPTION
from soli.degradations import parse
from soli.encoders import ResNetEncoder
from soli.encoders.vit import preprocessing
from soli.feature_cache import FeatureCache
from soli.glove import load_glove
from soli.hub import read_config
from soli.interfaces import SoliError
from soli.json_text import parse_json
from soli.tokenization import tokenize
from soli.training.checkpoint import STATE, Progress, load_checkpoint, load_weights, read_progress, save_checkpoint
from soli.vocabulary import Vocabulary
from tests.small_tokenizers import byte_pairs
from tests.training.small_runs import make_model, toy_data

DEEP = {"lists": "[" * 100_000, "objects": '{"a":' * 100_000, "closed": "[" * 100_000 + "]" * 100_000, "digits": "1" * 100_000}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_json_that_is_nested_too_deep_or_has_too_many_digits(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)
    for name in ("dataset_mine.json", "vocabulary.json", "tokenizer.json", "config.json", "preprocessor_config.json", "captions.jsonl"):
        (tmp_path / name).write_text(text)
    for read in (
        lambda: KarpathyDataset("mine", str(tmp_path)),
        lambda: FolderDataset(str(tmp_path)),
        lambda: Vocabulary.load(tmp_path / "vocabulary.json"),
        lambda: read_tokens(str(tmp_path)),
        lambda: read_config(tmp_path, "encoder.weights", str(tmp_path)),
        lambda: preprocessing(tmp_path),
    ):
        with pytest.raises(SoliError):
            read()


@pytest.mark.parametrize("length", [0, 1, 100, 1 << 30, 1 << 40, (1 << 64) - 1])
def test_safetensors_with_a_header_of_any_length(tmp_path: Path, length: int) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b'{"a": 1}')
    for read in (
        lambda: read_progress(path),
        lambda: load_checkpoint(path, torch.nn.Linear(2, 2)),
        lambda: load_weights(path, torch.nn.Linear(2, 2)),
        lambda: ResNetEncoder("resnet18", str(path)),
    ):
        with pytest.raises(SoliError, match="last.safetensors"):
            read()


@pytest.mark.parametrize("shape", [[1 << 40], [1 << 31, 1 << 31], [1 << 62, 4], [-1], [1.5], "2"])
def test_safetensors_with_tensors_of_any_size(tmp_path: Path, shape: object) -> None:
    header = {"weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}, "__metadata__": {"progress": "{}"}}
    text = json.dumps(header).encode()
    (tmp_path / "best.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with pytest.raises(SoliError, match="best.safetensors"):
        load_checkpoint(tmp_path / "best.safetensors", torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    "change",
    [{"epoch": "2"}, {"step": -1}, {"finished": "yes"}, {"sums": [1]}, {"sums": {"loss": "1"}}, {"best_score": [1]}, {"batch": True}]
    + [{"scaler": None}, {"phase": 1.5}, {"epoch": 10**30}, {"new": 1}, {"sums": {"loss": 1.0}, "batch": 3, "skipped": 3}],
    ids=str,
)
def test_progress_of_other_types(tmp_path: Path, change: dict) -> None:
    path = tmp_path / "last.safetensors"
    model = torch.nn.Linear(2, 2)
    save_checkpoint(path, model, Progress(), settings={"seed": 1})
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    state = json.loads(header["__metadata__"][STATE])
    header["__metadata__"][STATE] = json.dumps({**state, "progress": state["progress"] | change})
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    for read in (lambda: read_progress(path), lambda: load_checkpoint(path, model, settings={"seed": 1})):
        with pytest.raises(SoliError, match="damaged or no checkpoint of soli"):
            read()


@pytest.mark.parametrize("settings", [[1], "text", 3, {"seed": {"a": [1]}}], ids=str)
def test_settings_of_other_types(tmp_path: Path, settings: object) -> None:
    save_checkpoint(tmp_path / "last.safetensors", torch.nn.Linear(2, 2), Progress(), settings=settings)
    with pytest.raises(SoliError, match="no checkpoint of soli|other settings"):
        load_checkpoint(tmp_path / "last.safetensors", torch.nn.Linear(2, 2), settings={"seed": 1})


def test_an_optimizers_state_of_another_shape(tmp_path: Path) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    optimizer.state[model.weight]["exp_avg"] = torch.zeros(7)
    save_checkpoint(tmp_path / "last.safetensors", model, Progress(), optimizer)
    with pytest.raises(SoliError, match="its state of the optimizer does not fit .*weight"):
        load_checkpoint(tmp_path / "last.safetensors", model, torch.optim.AdamW(model.parameters()))


@pytest.mark.parametrize("index", [1 << 20, (1 << 32) - 1])
def test_a_tokenizer_that_numbers_a_token_beyond_all_others(tmp_path: Path, index: int) -> None:
    document = byte_pairs()
    document["added_tokens"] = []
    document["model"]["vocab"]["<|endoftext|>"] = index
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    with pytest.raises(SoliError, match=f"numbers them up to {index}"):
        BytePairs.load(tmp_path)


def test_a_tokenizer_fills_up_nothing_and_cuts_off_nothing(tmp_path: Path) -> None:
    document = byte_pairs()
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    expected = BytePairs.load(tmp_path).encode("a dog runs")
    document["padding"] = {"strategy": {"Fixed": 1 << 40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0}
    document["padding"] |= {"pad_type_id": 0, "pad_token": "a"}
    document["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    assert BytePairs.load(tmp_path).encode("a dog runs") == expected


def test_lines_of_a_hundred_megabytes(tmp_path: Path) -> None:
    """One caption, one name and one vector without an end."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").touch()
    size = 100_000_000
    (tmp_path / "captions.jsonl").write_text('{"image": "a.jpg", "caption": "' + "a.." * (size // 3) + '", "split": "train"}')
    with pytest.raises(SoliError, match=f"a caption of .* characters for a.jpg, and {LONGEST_CAPTION:,} are the most"):
        FolderDataset(str(tmp_path))
    size //= 10  # the same by other ways
    (tmp_path / "captions.jsonl").write_text('{"image": "' + "a" * size + '", "caption": "a dog", "split": "train"}')
    with pytest.raises(SoliError, match="names have at most"):
        FolderDataset(str(tmp_path))
    (tmp_path / "captions.jsonl").unlink()
    (tmp_path / "captions.csv").write_text("image,caption\na.jpg,a dog\na.jpg," + "b" * size)
    with pytest.raises(SoliError, match="captions.csv, line 3: field larger than"):
        FolderDataset(str(tmp_path))
    (tmp_path / "glove.txt").write_text("a " + "1" * size)
    with pytest.raises(SoliError, match="has none of the 1 words"):
        load_glove(tmp_path / "glove.txt", ("a",), 3)


@pytest.mark.parametrize(
    "unit", ["a..", "a-", "a'", "1.", "a/", "<a", "n'", "'", "&", "a.b", "+a", "http://", "@a", "#a", "c'm", "A&", "?!a", "_"]
)
def test_no_caption_takes_the_words_scanner_for_ever(unit: str) -> None:
    """The longest captions that there may be, each of one repeated sign: work that grew with its square would take minutes here."""
    assert sum(map(len, tokenize(unit * (LONGEST_CAPTION // len(unit))))) <= 3 * LONGEST_CAPTION


def test_word_vectors_are_finite(tmp_path: Path) -> None:
    for number in ("nan", "inf", "-inf", "1e400", "1e30"):
        (tmp_path / "glove.txt").write_text(f"cat 1 2 3\na 1 {number} 3\n")
        with pytest.raises(SoliError, match="broken in line 2: a vector holds"):
            load_glove(tmp_path / "glove.txt", ("a", "cat"), 3)


@pytest.mark.parametrize("features", [[1 << 40, 1 << 40], [1 << 30], [-4, -8], [0, 8], ["4", 8], [4.5, 8], None, "ab"], ids=str)
def test_a_feature_cache_of_any_shape_is_made_anew(tmp_path: Path, features: object) -> None:
    from soli.feature_cache import origin

    data, conditions = toy_data(2), [parse("original")]
    cache = FeatureCache(tmp_path, make_model(data.tokenizer), say=lambda _: None)
    cache.ensure(data, conditions, progress=False)
    expected, path = cache.features(data.examples, conditions * 2), cache.folder / origin.ORIGIN
    content = {"origin": json.loads(path.read_text())["origin"], "features": features}
    path.write_text(json.dumps({**content, "crc32": origin._crc32(content)}))
    for index in cache.folder.glob("*.index"):
        index.write_bytes(index.read_bytes() + b"x 00000000 " + b"9" * 5000 + b"\n")
    again = FeatureCache(tmp_path, make_model(data.tokenizer), say=lambda _: None)
    again.ensure(data, conditions, progress=False)
    assert torch.equal(again.features(data.examples, conditions * 2), expected)
