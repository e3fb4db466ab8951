"""The variants half, par and con as a user types them: where they start, what they say, and how they fail."""

from __future__ import annotations

import json
import shutil

import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file

import soli
from tests.small_captioners import make_byte_pairs
from tests.test_commands import SMALL, failed, files, run, trained  # noqa: F401 - fixtures

BASE = [override for override in SMALL if not override.startswith("variant.")] + ["epochs=2"]


@pytest.mark.parametrize("variant", ["half", "par", "con"])
def test_a_variant_starts_from_a_trained_captioner(trained, run, tmp_path, variant):  # noqa: F811
    folder = tmp_path / variant
    answer = run("train", *BASE, f"variant={variant}", f"init_from={trained}", f"run_dir={folder}", "optimizer.lr=0")
    assert answer.code == 0, answer.err
    assert "apart at the start" in answer.out
    start, end = load_file(trained / "best.safetensors"), load_file(folder / "last.safetensors")
    assert all((end[name] == value).all() for name, value in start.items())  # at a rate of 0 nothing has moved
    assert soli.load(folder).caption([soli.datasets.ToyDataset().read_image(soli.datasets.ToyDataset().examples("test")[0])])


def test_half_keeps_the_decoder_and_moves_the_encoder(trained, run, tmp_path):  # noqa: F811
    folder = tmp_path / "half"
    answer = run("train", *BASE, "variant=half", f"init_from={trained}", f"run_dir={folder}")
    assert answer.code == 0, answer.err
    start, end = load_file(trained / "best.safetensors"), load_file(folder / "last.safetensors")
    moved = {name.split(".")[1] for name, value in start.items() if not (end[name] == value).all()}
    assert moved == {"encoder"}


def test_par_and_con_train_from_scratch_and_log_what_matters(run, tmp_path):  # noqa: F811
    for variant in ("par", "con"):
        folder = tmp_path / variant
        answer = run("train", *BASE, f"variant={variant}", f"run_dir={folder}", "embedding.projector=mlp", "embedding.dim=8")
        assert answer.code == 0, answer.err
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
        epochs = [line for line in lines if line["kind"] == "epoch"]
        assert len(epochs) == 2 and {"loss", "gradient_norm", "images_per_second"} <= epochs[0].keys()
        assert "contrastive" in epochs[0] and "lr/encoder" in epochs[0]
        (validation, *_) = [line for line in lines if line["kind"] == "validation"]
        expected = {"CIDEr/original", "CIDEr/R0.1S50", "embedding_std", "distance_to_others", "distance_to_copy/R0.1S50", "distance_ratio"}
        assert expected <= validation.keys()
        assert validation["CIDEr"] == pytest.approx((validation["CIDEr/original"] + validation["CIDEr/R0.1S50"]) / 2)


def test_evaluation_reports_how_far_embeddings_move(trained, run, tmp_path):  # noqa: F811
    answer = run("evaluate", f"run={trained}", "metrics=[CIDEr]", f"output={tmp_path / 'here'}")
    metrics = json.loads((tmp_path / "here" / "metrics.json").read_text())
    distances = {row["condition"]: row.get("distance") for row in metrics["rows"]}
    assert distances["original"] == 0 and distances["R0.05S50"] > distances["R0.1S50"] * 0.5 > 0
    worst = max(distance for distance in distances.values() if distance is not None)
    assert metrics["embeddings"]["ratio"] == pytest.approx(metrics["embeddings"]["distance_to_others"] / worst)
    assert f"{metrics['embeddings']['ratio']:.2f} times as far" in answer.out
    without = run("evaluate", f"run={trained}", "metrics=[CIDEr]", "conditions=[R0.1S50]", f"output={tmp_path / 'there'}")
    assert without.code == 0 and "distance" not in without.out


JOINT = "variant.phases.joint"


@pytest.mark.parametrize(
    ("overrides", "culprits"),
    [
        ([f"{JOINT}.train={{encodr:1}}"], ["encodr"]),
        ([f"{JOINT}.losses.contrastiv=1"], ["contrastiv", "contrastive"]),
        ([f"{JOINT}.losses.caption=0", f"{JOINT}.losses.attention=0"], ["No phase has a caption loss", "init_from=<run>"]),
        ([f"{JOINT}.losses={{caption:0,attention:0,contrastive:0}}"], ["losses has no entry above 0"]),
        ([f"{JOINT}.losses.contrastive=-1"], ["losses.contrastive=-1", "at least 0"]),
        ([f"{JOINT}.views.degraded=[]"], ["views.degraded is empty", "original"]),
        ([f"{JOINT}.views.clean=[R0.1S5O]"], ["R0.1S5O"]),
        ([f"{JOINT}.caption_views=[dirty]"], ["caption_views names dirty", "clean, degraded"]),
        ([f"{JOINT}.optimizer.lr=-1"], ["optimizer.lr=-1"]),
        (["contrastive.margin=-1"], ["contrastive.margin=-1", "auto"]),
        (["contrastive.margin=0"], ["contrastive.margin=0"]),
        (["contrastive=infonce", "contrastive.temperature=0"], ["contrastive.temperature=0"]),
        (["contrastive=infonce", "negatives=random_partner"], ["InfoNCELoss", "negatives=in_batch"]),
        (["negatives=random_partner", "negatives.same_fraction=2"], ["negatives.same_fraction=2"]),
        (["loader.batch_size=1"], ["loader.batch_size=1", "2 or more"]),
        (["loader.accumulation=9"], ["loader.accumulation=9", "loader.batch_size"]),
        (["siamese.anchor=frozn"], ["siamese.anchor", "frozen"]),
        (["siamese.decay=1"], ["siamese.decay=1"]),
        (["embedding.projector=deep"], ["embedding.projector", "mlp"]),
        (["embedding.dim=0"], ["embedding.dim=0"]),
        (["runtime.precision=fp16"], ["fp16", "bf16"]),
        (["epochs=0"], ["epochs=0", "epochs=1 or more"]),
        ([f"{JOINT}.train.encoder=0"], ["contrastive loss", "neither the encoder nor a projector"]),
        (["validation.select_on=[R0.2S1]"], ["validation.select_on=R0.2S1", "original, R0.1S50"]),
        (["validation.conditions=[]"], ["validation.conditions is empty"]),
        (["optimizer.factors.encoder=-1"], ["optimizer.factors.encoder=-1"]),
        (["init_from=nowhere"], ["init_from=nowhere", "not a run folder"]),
    ],
)
def test_mistakes_get_a_sentence(run, tmp_path, overrides, culprits):  # noqa: F811
    folder = tmp_path / "run"
    message = failed(run("train", *BASE, "variant=par", f"run_dir={folder}", *overrides))
    assert [culprit for culprit in culprits if culprit not in message] == [], message
    assert not folder.exists()


def test_half_and_nothing_to_start_from_is_refused(run, tmp_path):  # noqa: F811
    message = failed(run("train", *BASE, "variant=half", f"run_dir={tmp_path / 'run'}"))
    assert "init_from=<run>" in message and not (tmp_path / "run").exists()
    message = failed(run("train", "experiment=paper/resnet_att_lstm_half", "decoder.glove=null", f"run_dir={tmp_path / 'run'}"))
    assert "init_from" in message


@pytest.mark.parametrize(
    ("overrides", "culprits"),
    [
        (["encoder.feature_dim=64"], ["another architecture", "encoder.feature_dim=32 there, 64 here."]),
        (["decoder.hidden_dim=64"], ["decoder.hidden_dim=32 there, 64 here"]),
        (["vocabulary.min_count=3"], ["vocabulary.min_count=3 asks for other words", "leave it out"]),
    ],
)
def test_a_start_that_does_not_fit_is_refused(trained, run, tmp_path, overrides, culprits):  # noqa: F811
    before = files(trained)
    message = failed(run("train", *BASE, "variant=half", f"init_from={trained}", f"run_dir={tmp_path / 'run'}", *overrides))
    assert [culprit for culprit in culprits if culprit not in message] == [], message
    assert files(trained) == before and not (tmp_path / "run").exists()


@pytest.mark.parametrize("chosen", [True, False])
def test_a_start_brings_its_words_and_its_architecture_to_other_photographs(trained, run, tmp_path, chosen):  # noqa: F811
    parts = [override for override in BASE if chosen or not override.startswith(("encoder", "decoder"))]
    overrides = [*(override for override in parts if not override.startswith("vocabulary")), "dataset.seed=5", "dataset.num_train=12"]
    folder = tmp_path / "other"
    answer = run("train", *overrides, "variant=par", f"init_from={trained}", f"run_dir={folder}")
    assert answer.code == 0, answer.err
    assert (folder / "vocabulary.json").read_bytes() == (trained / "vocabulary.json").read_bytes()
    theirs, ours = (OmegaConf.load(one / "config.yaml") for one in (trained, folder))
    assert ours.vocabulary == theirs.vocabulary and ours.encoder == theirs.encoder and ours.decoder == theirs.decoder
    assert "The data are not those" in answer.out
    assert answer.out.splitlines()[-1] == f"Next: python -m soli.evaluate run={folder}"


def test_a_start_whose_words_have_changed_since_is_refused(trained, run, tmp_path):  # noqa: F811
    start, folder = tmp_path / "start", tmp_path / "run"
    shutil.copytree(trained, start)
    given = [*BASE, "variant=par", f"init_from={start}", f"run_dir={folder}", "runtime.max_steps=1"]
    assert run("train", *given).code == 0
    for name in ("last.safetensors", "best.safetensors"):  # as if it had been killed before its first checkpoint
        (folder / name).unlink(missing_ok=True)
    words = json.loads((start / "vocabulary.json").read_text())
    (start / "vocabulary.json").write_text(json.dumps([*words[:-2], words[-1], words[-2]]))
    message = failed(run("train", f"resume={folder}"))
    assert f"init_from={start} has other words than when this run began" in message


def test_byte_pairs_come_from_the_start_too(run, tmp_path):  # noqa: F811
    pieces, others = make_byte_pairs(tmp_path / "tokenizer.json"), make_byte_pairs(tmp_path / "others.json", num_tokens=300)
    sizes = "decoder.architecture={n_embd: 32, n_layer: 1, n_head: 2, n_positions: 64}"
    base = [override for override in BASE if not override.startswith(("decoder.", "vocabulary."))]
    start, folder = tmp_path / "start", tmp_path / "run"
    assert run("train", *base, "decoder=tiny_gpt2", sizes, f"decoder.tokenizer={pieces}", f"run_dir={start}").code == 0
    given = [*base, "variant=par", f"init_from={start}", f"run_dir={folder}"]
    message = failed(run("train", *given, "decoder=tiny_gpt2", sizes, f"decoder.tokenizer={others}"))
    assert f"decoder.tokenizer={others} has other tokens than init_from={start}" in message and not folder.exists()
    answer = run("train", *given, "dataset.seed=5")
    assert answer.code == 0 and (folder / "tokenizer.json").read_bytes() == (start / "tokenizer.json").read_bytes(), answer.err


def test_a_key_of_a_part_that_the_start_brings_wants_the_part_named(trained, run, tmp_path):  # noqa: F811
    base = [override for override in BASE if not override.startswith(("encoder", "decoder"))]
    start, folder = tmp_path / "start", tmp_path / "run"
    grown = ["encoder=resnet18", "encoder.weights=null", "encoder.input_size=32", "encoder.stages=1"]
    assert run("train", *base, *grown, f"run_dir={start}", "runtime.max_steps=1").code == 0
    given = [*base, f"init_from={start}", f"run_dir={folder}", "runtime.max_steps=1"]
    message = failed(run("train", *given, "encoder.input_size=64"))
    assert "encoder.input_size=64 is for the TinyEncoder" in message and "has a ResNetEncoder: choose encoder=<" in message
    answer = run("train", *given, "encoder=resnet18", "encoder.weights=null", "encoder.stages=1", "encoder.input_size=64")
    assert answer.code == 0 and OmegaConf.load(folder / "config.yaml").encoder.input_size == 64, answer.err


def test_a_run_is_not_named_after_parts_that_its_start_brings(trained, run, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    base = [override for override in BASE if not override.startswith(("encoder", "decoder"))]
    answer = run("train", *base, f"init_from={trained}", "runtime.max_steps=1")
    assert answer.code == 0, answer.err
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("toy_baseline_")


def test_a_run_with_the_words_of_its_start_is_resumed_by_its_experiment(run, tmp_path):  # noqa: F811
    start, folder = tmp_path / "start", tmp_path / "run"
    assert run("train", *BASE, "vocabulary.min_count=2", f"run_dir={start}").code == 0
    small = [override for override in BASE if not override.startswith("vocabulary")]
    told = ["experiment=toy_par", *small, f"init_from={start}", "runtime.max_steps=2"]
    assert run("train", *told, f"run_dir={folder}").code == 0
    answer = run("train", *told, f"resume={folder}")
    assert answer.code == 0, answer.err


def test_a_start_may_lack_the_projector(trained, run, tmp_path):  # noqa: F811
    overrides = ["variant=half", f"init_from={trained}", "embedding.projector=linear", "runtime.max_steps=2"]
    first = run("train", *BASE, *overrides, f"run_dir={tmp_path / 'first'}")
    assert first.code == 0, first.err
    second = run("train", *BASE, *overrides[:1], f"init_from={tmp_path / 'first'}", *overrides[2:], f"run_dir={tmp_path / 'second'}")
    assert second.code == 0, second.err


@pytest.fixture
def unfinished(run, tmp_path):  # noqa: F811
    folder = tmp_path / "unfinished"
    answer = run("train", *BASE, "variant=par", f"run_dir={folder}", "runtime.max_steps=2")
    assert answer.code == 0, answer.err
    return folder


def test_resuming_with_the_same_command_goes_on(unfinished, run):  # noqa: F811
    answer = run("train", *BASE, "variant=par", f"resume={unfinished}", "runtime.max_steps=3")
    assert answer.code == 0, answer.err
    assert "2 are done" in answer.out and f"Run folder: {unfinished}\n" in answer.out and "3 steps" in answer.out
    assert answer.out.splitlines()[-1] == f"Next: python -m soli.evaluate run={unfinished}"


def test_resuming_says_which_keys_differ(unfinished, run):  # noqa: F811
    before = files(unfinished)
    message = failed(run("train", f"resume={unfinished}", "seed=3", "contrastive.margin=2", "loader.batch_size=8"))
    assert "seed was 0, is 3" in message and "contrastive.margin was auto, is 2" in message and "loader" not in message
    config = unfinished / "config.yaml"
    config.write_text(config.read_text().replace("anchor: auto", "anchor: frozen"))
    message = failed(run("train", f"resume={unfinished}"))
    assert "siamese.anchor was shared, is frozen" in message
    config.write_bytes(before["config.yaml"])
    assert files(unfinished) == before


def test_a_damaged_checkpoint_is_not_resumed(unfinished, run):  # noqa: F811
    path = unfinished / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    before = files(unfinished)
    assert "last.safetensors is damaged" in failed(run("train", f"resume={unfinished}"))
    assert files(unfinished) == before


def test_a_run_whose_weights_are_cut_short_is_no_start(trained, run, tmp_path):  # noqa: F811
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / "best.safetensors").write_bytes((copy / "best.safetensors").read_bytes()[:-100])
    assert "best.safetensors is damaged" in failed(run("train", *BASE, "variant=half", f"init_from={copy}", f"run_dir={tmp_path / 'run'}"))


def test_resuming_compares_all_of_a_choice(unfinished, run):  # noqa: F811
    message = failed(run("train", f"resume={unfinished}", "variant=half"))
    assert "variant was" in message
    message = failed(run("train", f"resume={unfinished}", "dataset=flickr8k"))
    assert "dataset was" in message
