"""model.pretrained: models of transformers as the start of a run, against transformers itself, and those that are refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import transformers
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

import soli
from soli.bridge import load_pretrained, write_model
from soli.generation_options import GenerationOptions
from soli.interfaces import SoliError
from soli.jobs.starting import completed
from soli.runs import build_captioner, build_tokenizer, load_tokenizer, read_config
from tests.small_captioners import SIDE, SMALL, TOY, make_byte_pairs, make_pictures, make_run, plain
from tests.test_commands import failed, run  # noqa: F401 - a fixture

VIT = ("encoder=vit_tiny", "encoder.weights=null")
GPT2 = ("decoder=tiny_gpt2",)


def begin(source, *overrides):
    """The captioner that soli.train would begin with, and its config."""
    config = completed(plain(*TOY, f"model.pretrained={source}", *overrides))
    captioner = build_captioner(config, build_tokenizer(config, ()))
    load_pretrained(source, captioner)
    return captioner.eval(), config


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of whole words, and one of pieces of words."""
    folder = tmp_path_factory.mktemp("runs")
    tokenizer = make_byte_pairs(folder / "tokenizer.json")
    return {
        "words": make_run(folder / "words"),
        "pieces": make_run(folder / "pieces", f"decoder.tokenizer={tokenizer}", "encoder.framing=crop"),
    }


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    for name, source in runs.items():
        write_model(soli.load(source), folder / name, GenerationOptions())
    return {name: folder / name for name in runs}


@pytest.fixture
def foreign(tmp_path):
    """A model as transformers saves it, in two files, with a pooler, a dropout and a tokenizer of its own."""
    torch.manual_seed(1)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40, "patch_size": 8}
    encoder = transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=SIDE, qkv_bias=False, layer_norm_eps=1e-6))
    make_byte_pairs(tmp_path / "tokenizer.json")
    tokens = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 0}
    words = transformers.GPT2Config(n_embd=24, n_layer=2, n_head=3, n_positions=30, add_cross_attention=True, is_decoder=True, **tokens)
    model = transformers.VisionEncoderDecoderModel(encoder=encoder, decoder=transformers.GPT2LMHeadModel(words)).eval()
    model.config.decoder_start_token_id = model.config.pad_token_id = 0
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    return tmp_path, model


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_a_round_trip_changes_no_bit(runs, exported, tmp_path, name):
    captioner, config = begin(exported[name])
    before = soli.load(runs[name])
    ours, theirs = captioner.state_dict(), before.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert captioner.tokenizer == before.tokenizer and type(captioner.tokenizer) is type(before.tokenizer)
    assert torch.equal(captioner.encoder.mean, before.encoder.mean) and captioner.framing == before.framing
    pictures = make_pictures(tmp_path, count=8, size=(60, 50))
    assert captioner.caption(pictures, max_tokens=8) == before.caption(pictures, max_tokens=8)
    trained = read_config(runs[name])
    for part in ("encoder", "decoder"):
        found, expected = ({**settings[part], "tokenizer": None} for settings in (config, trained))
        assert expected.pop("architecture").items() <= found.pop("architecture").items()  # which names all details
        assert found == expected


def test_a_model_of_transformers_gives_its_own_logits(foreign):
    folder, model = foreign
    captioner, config = begin(folder)
    images, tokens = torch.rand(3, 3, SIDE, SIDE), torch.randint(0, 400, (3, 6))
    with torch.no_grad():
        found = captioner.decoder(captioner.encoder(images), tokens)
        assert torch.allclose(model((images - 0.5) / 0.5, decoder_input_ids=tokens).logits, found, atol=1e-5)
    assert config["encoder"]["input_size"] == SIDE and config["encoder"]["architecture"]["qkv_bias"] is False


def test_positions_are_interpolated_to_another_input(foreign):
    folder, model = foreign
    captioner, _ = begin(folder, *VIT, "encoder.input_size=48")
    images = torch.rand(2, 3, 48, 48)
    with torch.no_grad():
        expected = model.encoder((images - 0.5) / 0.5, interpolate_pos_encoding=True).last_hidden_state
        assert torch.allclose(captioner.encoder(images), expected, atol=1e-5)


def test_a_user_keeps_what_is_not_the_models(foreign):
    folder, _ = foreign
    statistics = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (folder / "preprocessor_config.json").write_text(json.dumps(statistics))
    chosen = [
        "encoder.finetune_from=2",
        "encoder.framing=crop",
        "encoder.std=[1,1,1]",
        "decoder.dropout=0.3",
        "decoder.train=cross_attention",
    ]
    captioner, config = begin(folder, *VIT, "encoder.input_size=40", *GPT2, *chosen)
    encoder, decoder = config["encoder"], config["decoder"]
    assert (encoder["finetune_from"], encoder["framing"], encoder["input_size"]) == (2, "crop", 40)
    assert (encoder["mean"], encoder["std"]) == ([0.1, 0.2, 0.3], [1, 1, 1])
    assert (decoder["dropout"], decoder["train"], decoder["architecture"]["n_embd"]) == (0.3, "cross_attention", 24)
    assert captioner.decoder.gpt2.config.attn_pdrop == 0.3 and captioner.encoder.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_adapters_start_beside_the_models_own_weights(foreign):
    pytest.importorskip("peft")
    folder, model = foreign
    captioner, _ = begin(folder, *GPT2, "decoder.train=lora")
    images, tokens = torch.rand(3, 3, SIDE, SIDE), torch.randint(0, 400, (3, 6))
    with torch.no_grad():
        found = captioner.decoder(captioner.encoder(images), tokens)
        assert torch.allclose(model((images - 0.5) / 0.5, decoder_input_ids=tokens).logits, found, atol=1e-5)


@pytest.mark.parametrize("name", ["words", "pieces"])
def test_the_command_trains_it_further_with_pairs(exported, run, tmp_path, name):  # noqa: F811
    source = shutil.copytree(exported[name], tmp_path / "source")
    folder = tmp_path / "run"
    small = ("runtime.max_steps=1", "epochs=1", "loader.batch_size=8", "validation.limit=2", "generation.max_tokens=8")
    answer = run("train", *TOY, *small, f"model.pretrained={source}", "variant=par", f"run_dir={folder}", "optimizer.lr=1e-5")
    assert answer.code == 0, answer.err
    assert "frozen anchor" in answer.out and "ViTEncoder" in answer.out and "GPT2Decoder" in answer.out
    assert "are not among these words" not in answer.out
    shutil.rmtree(source)  # the run folder is enough from here on
    captioner = soli.load(folder, "last")
    assert captioner.tokenizer == load_tokenizer(folder) and captioner.caption(make_pictures(tmp_path / "pictures", count=2))
    start, end = begin(exported[name])[0].state_dict(), captioner.state_dict()
    moved = [(end[key] - value).abs().max().item() for key, value in start.items()]
    assert 0 < max(moved) < 1e-4
    answer = run("evaluate", f"run={folder}", "metrics=[CIDEr]", "conditions=[original]", "generation.num_beams=1")
    assert answer.code == 0, answer.err
    answer = run("train", f"resume={folder}", "runtime.max_steps=2")
    assert answer.code == 0, answer.err


def test_the_contrastive_loss_alone_may_train_it(exported, run, tmp_path):  # noqa: F811
    small = ("runtime.max_steps=1", "epochs=1", "loader.batch_size=8", "validation.limit=2", "generation.max_tokens=8")
    answer = run("train", *TOY, *small, f"model.pretrained={exported['words']}", "variant=half", f"run_dir={tmp_path / 'run'}")
    assert answer.code == 0, answer.err


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_part(part):
    def damage(folder, **values):
        config = json.loads((folder / "config.json").read_text())
        change(folder / "config.json", **{part: {**config[part], **values}})

    return damage


def without(*names):
    def damage(folder):
        for name in names:
            (folder / name).unlink()

    return damage


def drop_tensors(start):
    def damage(folder):
        tensors = load_file(folder / "model.safetensors")
        save_file({name: value for name, value in tensors.items() if not name.startswith(start)}, folder / "model.safetensors")

    return damage


def only_a_pickle(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")


def other_tokens(folder):
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["another"] = len(content["model"]["vocab"])
    path.write_text(json.dumps(content))


def strange_words(folder):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace("<start>", "<begin>"))


encoder_becomes, decoder_becomes = change_part("encoder"), change_part("decoder")
DAMAGE = {
    "no config": (without("config.json"), ["no readable config.json", "init_from=<run>"]),
    "a config that is no JSON": (lambda folder: (folder / "config.json").write_text("{"), ["no readable config.json"]),
    "a ViT": (lambda folder: change(folder / "config.json", model_type="vit"), ["is a vit", "encoder.weights"]),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), ["no readable config.json", "transformers has saved"]),
    "another encoder": (lambda folder: encoder_becomes(folder, model_type="swin"), ["encoder of model.pretrained", "swin", "deit"]),
    "another decoder": (lambda folder: decoder_becomes(folder, model_type="bert"), ["decoder of model.pretrained", "bert", "gpt2"]),
    "an output layer of its own": (lambda folder: decoder_becomes(folder, tie_word_embeddings=False), ["tie_word_embeddings"]),
    "no square": (lambda folder: encoder_becomes(folder, image_size=[32, 48]), ["[32, 48]", "squares"]),
    "no tokenizer": (without("tokenizer.json"), ["no tokenizer", "decoder.tokenizer"]),
    "a damaged tokenizer": (lambda folder: (folder / "tokenizer.json").write_text("{"), ["cannot be read"]),
    "other words": (strange_words, ["<begin>", "not soli's"]),
    "a longer tokenizer": (other_tokens, ["tokens and a tokenizer of", "decoder.tokenizer"]),
    "another start": (lambda folder: change(folder / "config.json", decoder_start_token_id=7), ["token 7", "tokenizer with 1"]),
    "a damaged processor": (
        lambda folder: change(folder / "preprocessor_config.json", image_mean="grey"),
        ["preprocessor_config.json is damaged"],
    ),
    "a pickle": (only_a_pickle, ["no model.safetensors", "pytorch_model.bin", "save_pretrained"]),
    "damaged weights": (lambda folder: (folder / "model.safetensors").write_bytes(b"\0" * 90), ["cannot be loaded", "again"]),
    "no layer of the encoder": (drop_tensors("encoder.encoder.layer.1"), ["lacks 16 tensors of its ViTModel", "layers.1."]),
    "no cross-attention": (drop_tensors("decoder.transformer.h.0.crossattention"), ["tensors of its GPT2Model", "h.0.crossattention"]),
    "other sizes": (lambda folder: decoder_becomes(folder, n_positions=50), ["or has them in other shapes (wpe.weight"]),
    "no projection": (drop_tensors("enc_to_dec_proj"), ["enc_to_dec_proj"]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_or_foreign_model_is_named_with_a_remedy(exported, tmp_path, name):
    damage, culprits = DAMAGE[name]
    folder = shutil.copytree(exported["words"], tmp_path / "model")
    damage(folder)
    with pytest.raises(SoliError) as caught:
        begin(folder)
    assert all(culprit in str(caught.value) for culprit in [*culprits, str(folder)]), caught.value


@pytest.mark.parametrize(
    ("overrides", "culprits"),
    [
        (["init_from=runs/other"], ["init_from=runs/other", "two starts"]),
        ([*VIT[:1], "encoder.weights=some/vit"], ["encoder.weights=some/vit", "encoder.weights=null"]),
        ([*GPT2, "decoder.weights=gpt2"], ["decoder.weights=gpt2", "decoder.weights=null"]),
        ([*VIT, "encoder.class_token=false"], ["encoder.class_token=true"]),
        ([*GPT2, "decoder.tokenizer=/no/such"], ["decoder.tokenizer=/no/such", "does not exist"]),
        ([*VIT, "encoder.finetune_from=7"], ["encoder.finetune_from=7"]),
    ],
)
def test_settings_that_contradict_it_are_refused(exported, overrides, culprits):
    with pytest.raises(SoliError) as caught:
        begin(exported["words"], *overrides)
    assert all(culprit in str(caught.value) for culprit in culprits), caught.value


@pytest.mark.parametrize("override", ["encoder=resnet18", "encoder.input_size=48", "decoder=tiny_lstm", "decoder.dropout=0.3"])
def test_settings_of_a_part_that_it_replaces_are_refused(exported, run, tmp_path, override):  # noqa: F811
    message = failed(run("train", *TOY, f"model.pretrained={exported['words']}", override, f"run_dir={tmp_path / 'run'}"))
    assert override in message and ".weights=null" in message and not (tmp_path / "run").exists()


def test_a_name_without_a_network_says_so(monkeypatch):
    def offline(name, allow_patterns):
        assert not any(".bin" in pattern or ".py" in pattern for pattern in allow_patterns)
        raise OSError("no route to the hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(SoliError, match="model.pretrained=someone/captioner is no local folder.*no route"):
        begin("someone/captioner")


def test_a_run_may_be_resumed_with_the_parts_it_was_started_with(exported, run, tmp_path):  # noqa: F811
    started = ("encoder=vit_tiny", "encoder.weights=null", "decoder=tiny_gpt2", f"model.pretrained={exported['words']}")
    common = ("runtime.max_steps=1", "epochs=1", "validation.limit=2", "loader.max_tokens=12", "generation.max_tokens=12")
    first = run("train", *TOY, *started, *common, f"run_dir={tmp_path / 'run'}")
    assert first.code == 0, first.err
    again = run("train", *started, f"resume={tmp_path / 'run'}", "runtime.max_steps=2")
    assert again.code == 0 and "2 steps" in again.out, again.err
    other = run("train", *started, "encoder.input_size=48", f"resume={tmp_path / 'run'}")
    assert other.code == 1 and "encoder.input_size was" in other.err


def test_a_start_says_what_the_new_run_leaves_open(runs, tmp_path):
    theirs = read_config(runs["words"])
    theirs["encoder"]["architecture"]["layer_norm_eps"], theirs["encoder"]["mean"] = 3e-3, [0.1, 0.2, 0.3]
    folder = shutil.copytree(runs["words"], tmp_path / "run")
    OmegaConf.save(OmegaConf.create(theirs), folder / "config.yaml")
    ours = completed(plain(*SMALL, f"init_from={folder}"))
    assert ours["encoder"]["architecture"]["layer_norm_eps"] == 3e-3 and ours["encoder"]["mean"] == [0.1, 0.2, 0.3]
    other = completed(plain(*SMALL, "encoder.mean=[0.4,0.5,0.6]", f"init_from={folder}"))
    assert other["encoder"]["mean"] == [0.4, 0.5, 0.6]


def test_words_that_a_pretrained_captioner_does_not_have_are_counted(exported, run, tmp_path):  # noqa: F811
    (tmp_path / "mine").mkdir()
    make_pictures(tmp_path / "mine" / "images", count=6)
    names = sorted(path.name for path in (tmp_path / "mine" / "images").iterdir())
    lines = [f"{name},a zebra grazes,{split}" for name, split in zip(names, ["train"] * 4 + ["val", "test"], strict=True)]
    (tmp_path / "mine" / "captions.csv").write_text("\n".join(["image,caption,split", *lines]) + "\n")
    small = ("runtime.max_steps=1", "epochs=1", "loader.batch_size=2", "generation.max_tokens=8", "optimizer.lr=1e-5")
    data = ("dataset=folder", f"dataset.root={tmp_path / 'mine'}")
    answer = run("train", *data, *small, f"model.pretrained={exported['words']}", f"run_dir={tmp_path / 'run'}")
    assert answer.code == 0, answer.err
    assert "67% of the words of the training captions are not among these words" in answer.out
    assert "more than this decoder's 40 positions" in failed(
        run("caption", f"run={tmp_path / 'run'}", f"images={tmp_path / 'mine' / 'images'}", "generation.max_tokens=100", "checkpoint=last")
    )


def test_an_exported_model_is_no_run(exported, run):  # noqa: F811
    message = failed(run("caption", f"run={exported['words']}", "images=[a.jpg]"))
    assert f"model.pretrained={exported['words']}" in message
