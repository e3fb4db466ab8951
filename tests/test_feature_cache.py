"""soli/feature_cache: against the encoder itself, after interruptions and damage at every place, and what it is keyed by."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

from soli.datasets import CaptionedImages, Flickr8kDataset
from soli.degradations import Framing, parse
from soli.feature_cache import FeatureCache, encoder_digest, rows
from soli.feature_cache.disk import alone
from soli.interfaces import SoliError
from soli.model import evaluating
from tests.training.small_runs import make_model, toy_data

CONDITIONS = (parse("original"), parse("R0.2S1"), parse("GF500+R0.5S1"))


class Interrupted(Exception):
    """Stands for kill -9: nothing catches it."""


@pytest.fixture(scope="module")
def data() -> CaptionedImages:
    return toy_data(10)


@pytest.fixture
def model(data):
    return make_model(data.tokenizer)


def make(folder, model, **options):
    """A cache of batches of 4, and what it says."""
    said = []
    return FeatureCache(folder, model, **{"dtype": "float32", "batch_size": 4, "say": said.append, **options}), said


def ensured(folder, model, data, conditions=CONDITIONS, **options):
    cache, said = make(folder, model, **options)
    cache.ensure(data, conditions, progress=False)
    return cache, said


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@torch.inference_mode()
def encoded(model, data, condition, batch_size=4):
    """What the cache must hold."""
    images = [data.image(index) for index in range(len(data))]
    batches = [images[first : first + batch_size] for first in range(0, len(images), batch_size)]
    with evaluating(model):
        return torch.cat([model.encoder(model.render(batch, [condition] * len(batch))) for batch in batches])


def everything(cache, data, condition):
    return cache.features(data.examples, [condition] * len(data))


def counting(model):
    """The number of images in every call of the encoder from now on, and what ends the counting."""
    calls: list[int] = []
    return calls, model.encoder.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.spec)
def test_features_are_the_encoders(tmp_path, model, data, condition):
    expected = encoded(model, data, condition)
    cache, _ = ensured(tmp_path, model.train(), data)
    assert torch.equal(everything(cache, data, condition), expected) and model.training
    halved, _ = ensured(tmp_path, model, data, dtype="float16")
    found = everything(halved, data, condition)
    assert found.dtype == torch.float32 and cache.shape == halved.shape == expected.shape[1:]
    assert torch.equal(found, expected.half().float())
    assert not torch.equal(found, expected) and (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_bf16_is_what_autocast_computes(tmp_path, model, data):
    cache, _ = ensured(tmp_path, model, data, precision="bf16")
    with torch.autocast("cpu", torch.bfloat16):
        expected = encoded(model, data, CONDITIONS[0])
    assert torch.equal(everything(cache, data, CONDITIONS[0]), expected.float())
    assert not torch.equal(expected.float(), encoded(model, data, CONDITIONS[0]))


def test_every_photograph_has_its_own_condition(tmp_path, model, data):
    cache, _ = ensured(tmp_path, model, data)
    whole = [encoded(model, data, condition) for condition in CONDITIONS]
    places, choice = [7, 0, 7, 3], [1, 0, 2, 1]
    examples = [data.examples[place] for place in places]
    expected = torch.stack([whole[condition][place] for place, condition in zip(places, choice, strict=True)])
    degradations = [CONDITIONS[condition] for condition in choice]
    assert torch.equal(cache.features(examples, degradations), expected)
    assert torch.equal(cache.features([data.dataset.fingerprint(example) for example in examples], degradations), expected)


def test_what_was_not_ensured_is_a_key_error(tmp_path, model, data):
    cache, _ = make(tmp_path, model)
    first, last = data.examples[0], data.examples[-1]
    for ask in (lambda: cache.features([first], CONDITIONS[:1]), lambda: cache.key(first)):
        with pytest.raises(KeyError, match="call ensure first"):
            ask()
    cache.ensure(data.first(3), CONDITIONS[:1], progress=False)
    assert cache.features([first], CONDITIONS[:1]).shape == (1, *cache.shape)
    for photograph, condition in ((last, CONDITIONS[0]), (data.dataset.fingerprint(last), CONDITIONS[0]), (first, CONDITIONS[1])):
        with pytest.raises(KeyError, match="call ensure first"):
            cache.features([photograph], [condition])
    assert list(tmp_path.glob("*/*.rows")) == [cache.folder / "original-matrix-own.rows"]


def test_only_what_is_missing_is_computed_and_a_photograph_is_decoded_once(tmp_path, model, data, monkeypatch):
    (calls, _), read, hashed = counting(model), [], []
    dataset = data.dataset
    fingerprint, read_image = dataset.fingerprint, dataset.read_image
    prints = {example.image_id: fingerprint(example) for example in data.examples}
    monkeypatch.setattr(dataset, "fingerprint", lambda example: hashed.append(example.image_id) or prints[example.image_id])
    monkeypatch.setattr(dataset, "read_image", lambda example: read.append(example.image_id) or read_image(example))
    cache, said = ensured(tmp_path, model, data.first(6), CONDITIONS[:1])
    assert calls == [1, 4, 2] and said == [f"{cache.folder}: 0 of 6 features are there already; the others take 0.00 GB."]  # 1: the shape
    cache.ensure(data, CONDITIONS, progress=False)
    assert calls[3:] == [4, 4, 2, 4, 4, 2, 2, 2]
    assert said[1:] == [f"{cache.folder}: 6 of 30 features are there already; the others take 0.00 GB."]
    assert read == [*prints][:6] + [*prints] and hashed == [*prints]
    del calls[:], read[:]
    cache.ensure(data, CONDITIONS, progress=False)
    _, said = ensured(tmp_path, model, data)
    assert calls == read == said == []


class Copies:
    """Toy pictures under two names each."""

    reference_side, name, splits = None, "copies", ("train",)

    def __init__(self, toy):
        self.toy, self.originals = toy, {f"{copy}-{example.image_id}": example for copy in "ab" for example in toy.examples("train")}

    def examples(self, split):
        return [replace(example, image_id=name) for name, example in self.originals.items()]

    def read_image(self, example):
        return self.toy.read_image(self.originals[example.image_id])

    def fingerprint(self, example):
        return self.toy.fingerprint(self.originals[example.image_id])


def test_equal_photographs_are_stored_once_and_have_one_key(tmp_path, model, data):
    copies = CaptionedImages(Copies(data.dataset), "train", data.tokenizer)
    cache, _ = ensured(tmp_path, model, copies)
    found = everything(cache, copies, CONDITIONS[1])
    assert torch.equal(found[:10], found[10:]) and torch.equal(found[:10], encoded(model, data, CONDITIONS[1]))
    assert (cache.folder / "R0.2S1-matrix-own.rows").stat().st_size == 10 * found[0].numel() * 4
    keys = [cache.key(example) for example in copies.examples]
    assert keys[:10] == keys[10:] and len(set(keys)) == 10 and all(0 <= key < 2**63 for key in keys)
    assert np.array(keys).dtype == np.int64
    cache.ensure(data, CONDITIONS, progress=False)  # other names, the same photographs
    assert [cache.key(example) for example in data.examples] == keys[:10]


def test_two_datasets_may_not_disagree_on_a_name(tmp_path, model, data):
    cache, _ = ensured(tmp_path, model, data)
    other = toy_data(10)
    other.dataset.seed = 1
    with pytest.raises(SoliError, match="different photographs called train-00000"):
        cache.ensure(other, CONDITIONS, progress=False)


def test_interrupted_in_any_encoding_it_ends_in_the_same_files(tmp_path, model, data):
    whole = files(ensured(tmp_path / "whole", model, data)[0].folder)
    sizes = [4] * 6 + [2] * 3  # of the batches, after one image that says the shape
    for num_done in range(1 + len(sizes)):
        calls = []

        def stop(_module, _inputs, _output, calls=calls, num_done=num_done):
            calls.append(1)
            if len(calls) > num_done:
                raise Interrupted

        hook = model.encoder.register_forward_hook(stop)
        with pytest.raises(Interrupted):
            ensured(tmp_path / str(num_done), model, data)
        hook.remove()
        calls, hook = counting(model)
        cache, said = ensured(tmp_path / str(num_done), model, data)
        hook.remove()
        there = sizes[: max(num_done - 1, 0)]
        assert said == [f"{cache.folder}: {sum(there)} of 30 features are there already; the others take 0.00 GB."]
        assert calls == ([1] if num_done == 0 else []) + sizes[len(there) :]
        assert files(cache.folder) == whole


def test_cut_at_any_byte_it_ends_in_the_same_files(tmp_path, model, data):
    folder = ensured(tmp_path, model, data, CONDITIONS[:1])[0].folder
    whole = files(folder)
    numbers, index = folder / "original-matrix-own.rows", folder / "original-matrix-own.index"
    row, line = numbers.stat().st_size // 10, index.stat().st_size // 10
    cuts = [(numbers, size) for size in (0, 1, row, 4 * row - 1, 4 * row, 4 * row + 1, 7 * row, 10 * row - 1)]
    cuts += [(index, size) for size in (0, 1, line - 1, line, 4 * line - 1, 4 * line, 4 * line + 1, 8 * line + 5, 10 * line - 1)]
    for path, size in cuts:
        with open(path, "r+b") as file:
            file.truncate(size)
        cache, said = ensured(tmp_path, model, data, CONDITIONS[:1])
        there = size // (line if path == index else row) // 4 * 4
        assert said == [f"{folder}: {there} of 10 features are there already; the others take 0.00 GB."], (path, size)
        assert files(folder) == whole, (path, size)
    assert torch.equal(everything(cache, data, CONDITIONS[0]), encoded(model, data, CONDITIONS[0]))


def test_what_a_killed_write_left_behind_the_index_is_overwritten(tmp_path, model, data):
    cache, _ = ensured(tmp_path, model, data.first(8), CONDITIONS[:1])
    with open(cache.folder / "original-matrix-own.rows", "ab") as numbers, open(cache.folder / "original-matrix-own.index", "ab") as index:
        numbers.write(b"half a row" * 1000)
        index.write(b"0123456789abc")
    again, said = ensured(tmp_path, model, data, CONDITIONS[:1])
    assert "8 of 10" in said[0]
    assert files(again.folder) == files(ensured(tmp_path / "whole", model, data, CONDITIONS[:1])[0].folder)


def test_a_wrong_byte_is_found_and_its_photograph_encoded_again(tmp_path, model, data):
    first, _ = ensured(tmp_path, model, data)
    path = first.folder / "R0.2S1-matrix-own.rows"
    content = bytearray(path.read_bytes())
    for row in (2, 9):
        content[row * len(content) // 10 + 17] ^= 1
    path.write_bytes(content)
    calls, _ = counting(model)
    cache, said = ensured(tmp_path, model, data)
    assert said[0] == f"{path}: the features of 2 of 10 photographs are damaged, and made anew." and "28 of 30" in said[1]
    assert calls == [2]
    torch.testing.assert_close(everything(cache, data, CONDITIONS[1]), encoded(model, data, CONDITIONS[1]))
    again, said = ensured(tmp_path, model, data)
    assert said == [] and torch.equal(everything(again, data, CONDITIONS[1]), everything(cache, data, CONDITIONS[1]))


@pytest.mark.parametrize("place", [0, 64, 70, 74, 75, 3 * 76 + 74])  # fingerprint, space, crc32, number, newline, a batch's end
def test_a_wrong_byte_in_the_index_gives_no_photograph_the_features_of_another(tmp_path, model, data, place):
    path = ensured(tmp_path, model, data)[0].folder / "original-matrix-own.index"
    content = bytearray(path.read_bytes())
    content[place] = ord("z")
    path.write_bytes(content)
    cache, said = ensured(tmp_path, model, data)
    assert " of 30 features" in said[-1]
    torch.testing.assert_close(everything(cache, data, CONDITIONS[0]), encoded(model, data, CONDITIONS[0]))


def change_weights(model):
    with torch.no_grad():
        next(model.encoder.parameters())[0, 0, 0, 0] += 1e-6


def change_configuration(model):
    next(module for module in model.encoder.modules() if isinstance(module, nn.GroupNorm)).eps = 1e-3


def change_framing(model):
    model.framing = Framing(32, "crop")


@pytest.mark.parametrize(
    ("change", "options", "differing"),
    [
        (change_weights, {}, "weights"),
        (change_configuration, {}, "architecture"),
        (change_framing, {}, "preprocessing"),
        (None, {"dtype": "float16"}, "the type of their numbers"),
        (None, {"precision": "bf16"}, "precision"),
        (change_weights, {"dtype": "float16"}, "weights and the type of their numbers"),
    ],
)
def test_other_features_get_a_folder_of_their_own_and_a_line(tmp_path, model, data, change, options, differing):
    before, _ = ensured(tmp_path, model, data)
    kept = files(before.folder)
    if change is not None:
        change(model)
    cache, said = ensured(tmp_path, model, data, **options)
    assert cache.folder != before.folder and files(before.folder) == kept and len(said) == 2
    assert said[0] == f"The features in {tmp_path} differ from this encoder's in {differing}: its own are made anew."
    with torch.autocast("cpu", torch.bfloat16, enabled=options.get("precision") == "bf16"):
        expected = encoded(model, data, CONDITIONS[0]).float()
    torch.testing.assert_close(everything(cache, data, CONDITIONS[0]), expected, rtol=1e-3, atol=1e-4)


def test_an_encoder_that_changes_after_all_is_noticed(tmp_path, model, data):
    cache, _ = ensured(tmp_path, model, data)
    change_weights(model)
    with pytest.raises(AssertionError, match="has changed"):
        cache.ensure(data, CONDITIONS, progress=False)


def test_a_digest_is_of_what_features_depend_on(model, data):
    digest = encoder_digest(model.encoder)
    assert digest == encoder_digest(make_model(data.tokenizer).encoder)
    model.encoder.train().to(memory_format=torch.channels_last).requires_grad_(False)
    model.encoder.finetune_from = 3
    assert encoder_digest(model.encoder) == digest
    for change in (change_weights, change_configuration, lambda _: setattr(model.encoder, "framing", "crop")):
        change(model)
        assert encoder_digest(model.encoder) != digest
        digest = encoder_digest(model.encoder)


def test_statistics_that_no_state_dict_has_are_of_the_preprocessing(tmp_path, model, data):
    for value in (0.5, 0.4):
        model.encoder.register_buffer("mean", torch.full((1, 3, 1, 1), value), persistent=False)
        cache, said = ensured(tmp_path, model, data.first(2), CONDITIONS[:1])
    assert "in preprocessing:" in said[0]
    written = json.loads((cache.folder / "origin.json").read_text())
    assert written["origin"]["preprocessing"]["mean"] == pytest.approx([0.4] * 3) and written["features"] == [4, 32]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: text.replace('"float32"', '"float16"'),
        lambda text: text.replace("32\n", "31\n"),
        lambda text: "[]",
        lambda text: "null",
    ],
)
def test_a_damaged_origin_is_told_and_the_features_made_anew(tmp_path, model, data, damage):
    folder = ensured(tmp_path, model, data)[0].folder
    whole = files(folder)
    path = folder / "origin.json"
    text = path.read_text()
    path.write_text(damage(text))
    assert path.read_text() != text
    cache, said = ensured(tmp_path, model, data)
    assert said[0] == f"{path} is damaged: the features beside it are made anew." and "0 of 30" in said[1]
    assert files(cache.folder) == whole
    path.unlink()
    assert "is damaged" in ensured(tmp_path, model, data)[1][0] and files(folder) == whole


def test_a_full_disk_says_where_and_what_to_do_and_keeps_what_is_there(tmp_path, model, data, monkeypatch):
    whole = files(ensured(tmp_path / "whole", model, data)[0].folder)
    write, room = rows._write, [5]

    def full(path: Path, place: int, content: bytes) -> None:
        room[0] -= 1
        write(path, place, content if room[0] else content[: len(content) // 3])
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(rows, "_write", full)
    with pytest.raises(SoliError, match=r"GF500\+R0.5S1-matrix-own.rows cannot be used .*No space left on device.*Free some space there"):
        ensured(tmp_path / "full", model, data)
    monkeypatch.undo()
    cache, said = ensured(tmp_path / "full", model, data)
    assert "8 of 30" in said[0] and files(cache.folder) == whole


def stopping_after(times):
    """A check that raises KeyboardInterrupt when it is called for the `times`-th time."""
    calls = iter(range(1, times))

    def check_stop():
        if next(calls, None) is None:
            raise KeyboardInterrupt("enough")

    return check_stop


def test_it_stops_after_the_batch_in_which_it_is_asked_to(tmp_path, model, data):
    cache = FeatureCache(tmp_path / "stopped", model, batch_size=8, check_stop=stopping_after(1), say=lambda _: None)
    with pytest.raises(KeyboardInterrupt, match="enough"):
        cache.ensure(data, [parse("original")], progress=False)
    said = []
    FeatureCache(tmp_path / "stopped", model, batch_size=8, say=said.append).ensure(data, [parse("original")], progress=False)
    assert "8 of" in said[0]


def test_it_stops_while_it_waits_for_another_process(tmp_path):
    said = []
    waiting = alone(tmp_path, said.append, check_stop=stopping_after(2))
    with alone(tmp_path, said.append), pytest.raises(KeyboardInterrupt, match="enough"), waiting:
        pass
    assert len(said) == 1 and "waiting for it" in said[0]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_users(tmp_path, model, data):
    (tmp_path / "file").write_text("")
    with pytest.raises(SoliError, match="file/.*Not a directory"):
        ensured(tmp_path / "file", model, data)


@pytest.mark.parametrize(("factor", "message"), [(1e6, "keep them as float32"), (float("inf"), "not finite")])
def test_features_that_float16_cannot_hold_are_an_error(tmp_path, model, data, factor, message):
    model.encoder.register_forward_hook(lambda _, __, output: output * factor)
    with pytest.raises(SoliError, match=message):
        ensured(tmp_path, model, data, dtype="float16")
    if factor == 1e6:
        assert ensured(tmp_path, model, data)[0].features(data.examples[:1], CONDITIONS[:1]).abs().max() > 65504


@pytest.mark.parametrize("options", [{"dtype": "bfloat16"}, {"precision": "fp8"}])
def test_mistakes_are_found_at_once(tmp_path, model, options):
    with pytest.raises(SoliError, match="give float16 or float32" if "dtype" in options else "give fp32 or bf16"):
        FeatureCache(tmp_path, model, **options)


def test_the_second_waits_for_the_first(tmp_path, model, data):
    """The second begins while the first computes, and finds all done. A lock is an open file's, so threads show what processes do."""
    said: Queue[str] = Queue()
    second = FeatureCache(tmp_path, make_model(data.tokenizer), "float32", batch_size=4, say=said.put)
    calls, _ = counting(second.model)
    other = Thread(target=second.ensure, args=(data, CONDITIONS, False))
    waiting = []

    def begin(_module, _inputs, _output):
        if not waiting:
            other.start()
            waiting.append(said.get(timeout=60))

    model.encoder.register_forward_hook(begin)
    first, _ = ensured(tmp_path, model, data)
    other.join(60)
    assert waiting == [f"Another process computes features in {first.folder}: waiting for it."]
    assert not other.is_alive() and said.empty() and calls == []
    assert torch.equal(everything(second, data, CONDITIONS[1]), everything(first, data, CONDITIONS[1]))


def test_workers_make_no_difference(tmp_path, model, data):
    alone, _ = ensured(tmp_path / "alone", model, data)
    cache, _ = ensured(tmp_path / "two", model, data, workers=2)
    assert files(cache.folder) == files(alone.folder)


def test_photographs_on_disk(tmp_path, model, data, flickr8k_root):
    real = CaptionedImages(Flickr8kDataset(flickr8k_root, limit=6, reference_side=500), "train", data.tokenizer)
    conditions = [parse("R0.1S50", "matrix", 500), parse("R0.1S50")]
    cache, _ = ensured(tmp_path, model, real, conditions)
    assert sorted(path.name for path in cache.folder.glob("*.rows")) == ["R0.1S50-matrix-500.rows", "R0.1S50-matrix-own.rows"]
    for condition in conditions:
        assert torch.equal(everything(cache, real, condition), encoded(model, real, condition))
