"""Exported captioners against plain transformers in a process of its own, and what cannot be exported."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import soli
from soli.bridge import read_tokens, write_model
from soli.bridge.tokens import write_tokens
from soli.byte_pairs import BytePairs
from soli.generation import GenerationOptions
from soli.interfaces import SoliError
from soli.model import as_tensor
from soli.runs import build_captioner, build_tokenizer, load_tokenizer
from tests.small_captioners import SIDE, SMALL, captions, make_byte_pairs, make_pictures, make_run, plain
from tests.test_commands import failed, files, run  # noqa: F401 - a fixture

PLAIN = """
import json, sys
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer, VisionEncoderDecoderModel
folders, pictures = json.load(sys.stdin)
captions = {}
for folder in folders:
    model, tokenizer, processor = (kind.from_pretrained(folder) for kind in (VisionEncoderDecoderModel, AutoTokenizer, AutoImageProcessor))
    pixels = processor([Image.open(picture) for picture in pictures], return_tensors="pt").pixel_values
    captions[folder] = tokenizer.batch_decode(model.generate(pixels), skip_special_tokens=True)
assert "soli" not in sys.modules
print(json.dumps(captions))
"""
OTHER_VIT = "encoder.architecture={model_type: %s, hidden_size: 48, num_hidden_layers: 2, num_attention_heads: 2}"
RUNS = {
    "words": (),
    "pieces": ("decoder.tokenizer={tokenizer}", "generation.num_beams=4", "generation.length_penalty=0.5"),
    "deit": (OTHER_VIT % "deit", "generation.num_beams=1"),
    "clip": (OTHER_VIT % "clip_vision_model", "generation.length_penalty=2.0"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    tokenizer = make_byte_pairs(folder / "tokenizer.json")
    return {name: make_run(folder / name, *(line.replace("{tokenizer}", str(tokenizer)) for line in lines)) for name, lines in RUNS.items()}


@pytest.fixture
def export(run):  # noqa: F811
    def call(folder, to, *overrides):
        answer = run("export", f"run={folder}", f"to={to}", *overrides)
        assert answer.code == 0, answer.err
        return answer

    return call


def generation(folder):
    settings = soli.runs.read_config(folder)["generation"]
    return {key: value for key, value in settings.items() if key != "batch_size"}


def test_transformers_alone_gives_the_same_captions(runs, export, tmp_path):
    pictures = [str(path) for path in make_pictures(tmp_path / "pictures")]
    folders = {name: str(tmp_path / name) for name in runs}
    for name, to in folders.items():
        export(runs[name], to)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    given = json.dumps([list(folders.values()), pictures])
    answer = subprocess.run([sys.executable, "-c", PLAIN], input=given, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert answer.returncode == 0 and "padd" not in answer.stderr, answer.stderr
    theirs = json.loads(answer.stdout)
    for name, folder in runs.items():
        ours = soli.load(folder).caption(pictures, **generation(folder))
        assert theirs[folders[name]] == ours, name
        assert len(set(ours)) > 15 and len({len(caption) for caption in ours}) > 5, name  # they depend on the picture, and some end early


def test_the_lines_of_the_card_print_a_caption(runs, export, tmp_path, monkeypatch, capfd):
    (picture,) = make_pictures(tmp_path / "pictures", count=1)
    export(runs["words"], tmp_path / "to")
    (lines,) = re.findall(r"```python\n(.*?)```", (tmp_path / "to" / "README.md").read_text(), flags=re.DOTALL)
    assert lines.count("\n") == 5
    shutil.copy(picture, tmp_path / "to" / "photograph.jpg")
    monkeypatch.chdir(tmp_path / "to")
    capfd.readouterr()
    exec(lines, {})
    assert capfd.readouterr().out.strip() == soli.load(runs["words"]).caption([picture], **generation(runs["words"]))[0]


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 1, "max_tokens": 9},
        {"num_beams": 3, "max_tokens": 10, "min_tokens": 4},
        {"num_beams": 2, "max_tokens": 11, "no_repeat_ngram": 2, "length_penalty": -1.0},
    ],
)
def test_other_searches_are_the_same_too(runs, tmp_path, options):
    theirs, pixels, features = both(runs["pieces"], GenerationOptions(**options), tmp_path)
    captioner = soli.load(runs["pieces"])
    ids = theirs.generate(pixels)
    texts = [captioner.tokenizer.decode(row[1:].tolist()) for row in ids]
    assert texts == captioner.describe(features, **options) and len(set(texts)) > 8


def test_sampling_is_exported_with_its_filters(runs, tmp_path):
    options = GenerationOptions(num_beams=1, sample=True, temperature=0.5, top_p=0.9)
    settings = both(runs["words"], options, tmp_path)[0].generation_config
    assert (settings.do_sample, settings.temperature, settings.top_k, settings.top_p) == (True, 0.5, 0, 0.9)


def both(folder, options, to):
    """transformers' model of a run that generates with `options`, its input of 16 noisy pictures, and soli's features of them."""
    from transformers import VisionEncoderDecoderModel

    captioner = soli.load(folder)
    write_model(captioner, to, options)
    images = torch.rand(16, 3, SIDE, SIDE)
    with torch.no_grad():
        return VisionEncoderDecoderModel.from_pretrained(to), (images - 0.5) / 0.5, captioner.encoder(images)


def test_logits_and_weights_are_the_same(runs, tmp_path):
    theirs, pixels, features = both(runs["words"], GenerationOptions(), tmp_path)
    captioner = soli.load(runs["words"])
    tokens = torch.randint(0, len(captioner.tokenizer), (16, 7))
    with torch.no_grad():
        assert torch.allclose(theirs(pixels, decoder_input_ids=tokens).logits, captioner.decoder(features, tokens), atol=1e-4)
    assert all(
        torch.equal(value, theirs.decoder.transformer.state_dict()[name]) for name, value in captioner.decoder.gpt2.state_dict().items()
    )
    assert not theirs.encoder.pooler.dense.weight.any()


@pytest.mark.parametrize(("framing", "size"), [("squash", (50, 70)), ("crop", (64, 48)), ("crop", (SIDE, SIDE)), ("crop", (20, 14))])
def test_the_input_is_that_of_soli_but_for_rounding_to_bytes(tmp_path, framing, size):
    from transformers import AutoImageProcessor

    captioner = soli.load(
        make_run(tmp_path / "run", f"encoder.framing={framing}", "encoder.mean=[0.1,0.2,0.3]", "encoder.std=[0.5,0.6,0.7]")
    )
    write_model(captioner, tmp_path / "to", GenerationOptions())
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    images = captioner.render([as_tensor(picture)], [soli.degradations.parse("original")])
    expected = (images - captioner.encoder.mean) / captioner.encoder.std
    found = AutoImageProcessor.from_pretrained(tmp_path / "to")(picture, return_tensors="pt").pixel_values
    assert found.shape == expected.shape
    assert ((found - expected).abs() * captioner.encoder.std * 255).max() < 1.01


def test_the_tokenizer_reads_what_it_wrote(runs, export, tmp_path):
    from transformers import AutoTokenizer

    for name in ("words", "pieces"):
        export(runs[name], tmp_path / name)
        ours, theirs = load_tokenizer(runs[name]), AutoTokenizer.from_pretrained(tmp_path / name)
        ids = ours.encode("a small red circle")
        assert theirs("A  small red circle" if name == "words" else "a small red circle")["input_ids"] == ids[1:-1]
        assert len(theirs) == len(ours) and theirs.eos_token_id == ours.end_id and theirs.model_max_length == 40
        assert theirs.decode(ids, skip_special_tokens=True) == "a small red circle"
    ids = list(range(1, len(ours)))  # all bytes, blanks among them
    assert isinstance(ours, BytePairs) and theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids)


def test_gpt2s_own_tokenizer_gives_the_same_ids_and_texts(weights_root, tmp_path):
    from transformers import AutoTokenizer

    ours = BytePairs.load(weights_root / "gpt2-tokenizer")
    write_tokens(ours, tmp_path, 1024)
    theirs, again = AutoTokenizer.from_pretrained(tmp_path), read_tokens(str(tmp_path))
    assert again == ours and len(theirs) == 50257
    for caption in [*captions()[:20], "a café at night", "ca n't", ""]:
        ids = ours.encode(caption)
        assert theirs(ours.decode(ids[1:]))["input_ids"] == ids[1:-1] == again.encode(caption)[1:-1]
        assert theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids) == again.decode(ids)


def test_the_card_says_what_was_done_and_names_no_local_path(runs, export, tmp_path):
    copied = shutil.copytree(runs["pieces"], tmp_path / "run")
    rows = [{"condition": "original", "CIDEr": 0.91234}, {"condition": "R0.1S50", "CIDEr": 0.5}]
    write_scores(copied, json.dumps({"rows": rows, "protocol": "CIDEr|split:test|checkpoint:best|soli:0"}))
    answer = export(copied, tmp_path / "to")
    card = (tmp_path / "to" / "README.md").read_text()
    facts = (
        "0.912",
        "CIDEr|split:test|checkpoint:best",
        "clean (original)",
        f"{SIDE} pixels",
        "at most 12 tokens",
        "Data: Toy",
        "encoder, decoder",
    )
    assert all(fact in card for fact in facts) and "encoder.pt2" not in card
    assert str(tmp_path / "to") in answer.out.splitlines()[0] and f"model.pretrained={tmp_path / 'to'}" in answer.out
    written = files(tmp_path / "to")
    assert not [name for name, content in written.items() if str(tmp_path.parent).encode() in content or b"/tmp/" in content]
    assert not [name for name in written if name.endswith((".bin", ".pt", ".pkl", ".py"))]


def test_scores_of_another_checkpoint_are_left_out(runs, export, tmp_path):
    copied = shutil.copytree(runs["words"], tmp_path / "run")
    write_scores(copied, json.dumps({"rows": [{"condition": "original", "CIDEr": 0.9}], "protocol": "CIDEr|checkpoint:last"}))
    export(copied, tmp_path / "to")
    assert "has not been evaluated" in (tmp_path / "to" / "README.md").read_text()


def write_scores(folder, text):
    (folder / "evaluation" / "test").mkdir(parents=True)
    (folder / "evaluation" / "test" / "metrics.json").write_text(text)


def test_the_program_gives_the_features_of_the_encoder(runs, export, tmp_path):
    export(runs["deit"], tmp_path / "to", "program=true")
    program = torch.export.load(tmp_path / "to" / "encoder.pt2").module()
    encoder = soli.load(runs["deit"]).encoder
    for count in (1, 2, 5):
        images = torch.rand(count, 3, SIDE, SIDE)
        with torch.no_grad():
            assert torch.allclose(program(images), encoder(images), atol=1e-5)
    assert "encoder.pt2" in (tmp_path / "to" / "README.md").read_text()


def test_a_program_that_differs_is_refused(runs, tmp_path, monkeypatch):
    encoder = soli.load(runs["words"]).encoder
    monkeypatch.setattr("soli.bridge.program.TOLERANCE", -1.0)
    with pytest.raises(SoliError, match="differ from the encoder's.*program=false"):
        soli.bridge.write_program(encoder, tmp_path / "encoder.pt2")


def test_adapters_are_added_to_what_they_adapt(tmp_path):
    pytest.importorskip("peft")
    folder = make_run(tmp_path / "run", "decoder.train=lora", "decoder.lora_rank=2")
    theirs, pixels, features = both(folder, GenerationOptions(), tmp_path / "to")
    captioner = soli.load(folder)
    assert any("lora_B" in name and value.any() for name, value in captioner.decoder.state_dict().items()) is False
    for name, value in captioner.decoder.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value)
    write_model(captioner, tmp_path / "again", GenerationOptions())
    adapted = type(theirs).from_pretrained(tmp_path / "again")
    tokens = torch.randint(0, len(captioner.tokenizer), (16, 7))
    with torch.no_grad():
        expected = captioner.decoder(features, tokens)
        assert torch.allclose(adapted(pixels, decoder_input_ids=tokens).logits, expected, atol=1e-3)
        assert not torch.allclose(theirs(pixels, decoder_input_ids=tokens).logits, expected, atol=1e-1)


@pytest.mark.parametrize(
    ("overrides", "culprits"),
    [
        (["encoder=tiny", *SMALL[-3:]], ["TinyEncoder", "encoder=vit_b16", "soli.load"]),
        ([*SMALL[:-3], "decoder=tiny_lstm"], ["AttentionLSTM", "decoder=gpt2"]),
        ([*SMALL, "encoder.class_token=false"], ["encoder.class_token=false", "encoder.class_token=true"]),
    ],
)
def test_what_transformers_lacks_is_refused(tmp_path, overrides, culprits):
    config = plain(*overrides)
    with pytest.raises(SoliError) as caught:
        write_model(build_captioner(config, build_tokenizer(config, captions())), tmp_path, GenerationOptions())
    assert all(culprit in str(caught.value) for culprit in culprits) and not list(tmp_path.iterdir())


def test_mistakes_leave_everything_as_it_was(runs, run, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "file").write_text("mine")
    without_class_token = make_run(tmp_path / "patches", "encoder.class_token=false")
    damaged = shutil.copytree(runs["words"], tmp_path / "damaged")
    write_scores(damaged, '{"rows": [1]}')
    before = files(tmp_path)
    for overrides, culprits in (
        ([f"run={runs['words']}", f"to={tmp_path / 'full'}"], [f"to={tmp_path / 'full'}", "nothing is overwritten"]),
        ([f"run={runs['words']}", f"to={tmp_path / 'file'}"], [f"to={tmp_path / 'file'}", "no empty folder"]),
        ([f"run={without_class_token}", f"to={tmp_path / 'to'}"], ["encoder.class_token=true"]),
        ([f"run={damaged}", f"to={tmp_path / 'to'}"], ["metrics.json is damaged", "evaluate the run again"]),
        ([f"run={runs['words']}", f"to={tmp_path / 'to'}", "checkpoint=last"], ["last.safetensors"]),
        (["run=nowhere", f"to={tmp_path / 'to'}"], ["run=nowhere"]),
        ([f"run={runs['words']}"], ["to=<value>"]),
    ):
        message = failed(run("export", *overrides))
        assert all(culprit in message for culprit in culprits), message
        assert files(tmp_path) == before
    monkeypatch.setattr("soli.jobs.export.write_model", lambda *_: (_ for _ in ()).throw(SoliError("half way")))
    assert "half way" in failed(run("export", f"run={runs['words']}", f"to={tmp_path / 'to'}"))
    assert files(tmp_path) == before and not list(tmp_path.glob(".*"))


def test_an_empty_folder_may_be_given(runs, export, tmp_path):
    (tmp_path / "to").mkdir()
    answer = export(runs["words"], tmp_path / "to")
    assert (tmp_path / "to" / "model.safetensors").is_file()
    assert answer.out.splitlines()[-1] == f"Next: python -m soli.train model.pretrained={tmp_path / 'to'}  # to train it further"
