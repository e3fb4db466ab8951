"""Matching as a user types it: every choice trains, its scores are logged and select the best weights, and mistakes get a sentence."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import soli
from soli.datasets import ToyDataset
from soli.evaluation import rank_metrics
from tests.small_captioners import make_byte_pairs
from tests.test_commands import SMALL, failed, files, run, trained  # noqa: F401 - fixtures

BASE = [override for override in SMALL if not override.startswith("variant.")] + ["epochs=1", "validation.limit=6", "logging.every_steps=1"]
SMALL_SPACE = ["text_encoder.word_dim=8", "text_encoder.hidden_dim=12", "joint.dim=8"]
STEPS = ["runtime.max_steps=2"]
NOTHING_JOINT = [
    "variant.phases.joint.losses.contrastive=0",
    *(f"variant.phases.joint.train.{part}=0" for part in ("encoder", "projector", "matcher")),
]
QUEUES = "matching.negatives.num_clusters=8"
CHOICES = {"vse": [], "vse_plus_plus": [], "infonce": [], "random": [], "ace": ["matching.negatives.noise=0.2"], "cmns": [QUEUES]}


def log(folder, kind):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
    return [line for line in lines if line["kind"] == kind]


def matched(run, folder, *overrides):  # noqa: F811
    answer = run("train", *BASE, *SMALL_SPACE, *overrides, f"run_dir={folder}")
    assert answer.code == 0, answer.err
    return answer


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_matching_trains(run, tmp_path, choice):  # noqa: F811
    """The variant's own choice gives way to that of the command line."""
    answer = matched(run, tmp_path / "run", "variant=vse_plus_plus", f"matching={choice}", *CHOICES[choice], *STEPS)
    assert "Matcher: Matcher" in answer.out and "under 1 matching (matching of clean)" in answer.out
    lines = log(tmp_path / "run", "train")
    assert len(lines) == 2 and all(line["matching"] > 0 and "lr/matcher" in line for line in lines)


@pytest.mark.parametrize("variant", ["vse", "vse_plus_plus", "ace", "par_matching"])
def test_a_variant_trains_validates_and_matches(run, tmp_path, variant):  # noqa: F811
    others = ["variant.phases.joint.losses.contrastive=0.1"] if variant == "par_matching" else ["validation.every_epochs=1", "epochs=2"]
    answer = matched(run, tmp_path / "run", f"variant={variant}", *others)
    (validation, *later) = log(tmp_path / "run", "validation")
    assert {"rsum", "i2t_R@1", "t2i_R@1", "joint_pc_id", "rsum/original", "rsum/R0.1S50"} <= validation.keys()
    assert validation["rsum"] == pytest.approx((validation["rsum/original"] + validation["rsum/R0.1S50"]) / 2)
    captions = {"CIDEr", "BLEU-4", "distinct", "pc_id"} & validation.keys()
    assert captions == ({"CIDEr", "BLEU-4", "distinct", "pc_id"} if variant == "par_matching" else set())
    metric = "CIDEr" if variant == "par_matching" else "rsum"
    scores = [line[metric] for line in (validation, *later)]
    assert f"best validation {metric} {max(scores):.3f}" in answer.out and ("metrics=retrieval" in answer.out) == (metric == "rsum")
    toy = ToyDataset(num_train=24, num_val=8, num_test=6)
    examples = toy.examples("val")[:6]
    texts, owner = [text for example in examples for text in example.captions], [place for place in range(6) for _ in range(5)]
    similarity = soli.load(tmp_path / "run").match([toy.read_image(example) for example in examples], texts)
    assert similarity.shape == (6, 30) and similarity.abs().max() <= 1 + 1e-5
    best = (validation, *later)[scores.index(max(scores))]
    assert rank_metrics(similarity, owner)["rsum"] == pytest.approx(best["rsum/original"])


def test_the_best_weights_are_those_of_the_best_rsum(run, tmp_path, monkeypatch):  # noqa: F811
    scores, seen = iter([10.0, 30.0, 20.0]), []

    def retrieval(model, *_):
        def score(_places):
            seen.append(model.matcher.text_projection.weight.clone())
            return {"rsum": next(scores)}

        return score

    monkeypatch.setattr("soli.jobs.validating._retrieval", retrieval)
    answer = matched(run, tmp_path / "run", "variant=vse", "epochs=3")
    assert "best validation rsum 30.000" in answer.out
    assert torch.equal(load_file(tmp_path / "run" / "best.safetensors")["model.matcher.text_projection.weight"], seen[1])
    assert torch.equal(load_file(tmp_path / "run" / "last.safetensors")["model.matcher.text_projection.weight"], seen[2])


TRANSFORMER = ["text_encoder=transformer", "text_encoder.width=8", "text_encoder.word_dim=8", "text_encoder.num_heads=2"]
JOINT = "variant.phases.joint"


@pytest.mark.parametrize(
    "overrides",
    [
        ["variant=vse", "matching.siblings=negatives", "matching.num_captions=2", *SMALL_SPACE],
        ["variant=vse", *TRANSFORMER, "joint.dim=8", "joint.pooling=first_and_mean"],
        ["variant=par_matching", f"{JOINT}.losses.contrastive=0", f"{JOINT}.losses.spectral=0.01", "loader.accumulation=2", *SMALL_SPACE],
        ["variant=par_matching", f"{JOINT}.losses.contrastive=0.1", "negatives=adversarial", "matching=ace", *SMALL_SPACE],
        ["variant=par", f"{JOINT}.losses.contrastive=0.1", "negatives=clustered", "negatives.num_clusters=4", "embedding.pooling=mean"],
        ["variant=par", f"{JOINT}.losses.contrastive=0.1", "negatives=hardest"],
    ],
)
def test_settings_reach_the_training(run, tmp_path, overrides):  # noqa: F811
    answer = run("train", *BASE, *overrides, *STEPS, f"run_dir={tmp_path / 'run'}")
    assert answer.code == 0, answer.err
    given = " ".join(overrides)
    figures = log(tmp_path / "run", "train")[0].keys()
    assert ("spectral" in figures) == ("spectral" in given)
    assert ("matching" in figures) == ("variant=par " not in given)
    assert ("contrastive" in figures) == ("contrastive=0.1" in given)


def test_byte_pairs_are_matched_and_captioned(run, tmp_path):  # noqa: F811
    pieces = make_byte_pairs(tmp_path / "tokenizer.json")
    base = [override for override in BASE if not override.startswith("decoder.")]
    decoder = [
        "decoder=tiny_gpt2",
        f"decoder.tokenizer={pieces}",
        "decoder.architecture={n_embd: 32, n_layer: 1, n_head: 2, n_positions: 64}",
    ]
    weight = "variant.phases.joint.losses.contrastive=0.1"
    answer = run("train", *base, *SMALL_SPACE, *decoder, "variant=par_matching", weight, *STEPS, f"run_dir={tmp_path / 'run'}")
    assert answer.code == 0, answer.err
    assert {"matching", "caption", "contrastive"} <= log(tmp_path / "run", "train")[0].keys()
    pieces.unlink()
    assert soli.load(tmp_path / "run").match([ToyDataset().read_image(ToyDataset().examples("test")[0])], ["a red circle", "b"]).shape == (
        1,
        2,
    )


def test_a_run_that_was_stopped_goes_on(run, tmp_path):  # noqa: F811
    ace = ["variant=ace", "epochs=2"]
    matched(run, tmp_path / "whole", *ace)
    matched(run, tmp_path / "run", *ace, *STEPS)
    assert any(name.startswith("matching_negatives.") for name in load_file(tmp_path / "run" / "last.safetensors"))
    message = failed(run("train", f"resume={tmp_path / 'run'}", "matching.loss.margin=0.3", "joint.dim=9"))
    assert "matching.loss.margin was 0.2, is 0.3" in message and "joint.dim was 8, is 9" in message
    answer = run("train", f"resume={tmp_path / 'run'}", "runtime.max_steps=null")
    assert answer.code == 0, answer.err
    whole, resumed = (load_file(tmp_path / name / "last.safetensors") for name in ("whole", "run"))
    assert whole.keys() == resumed.keys() and all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_features_are_kept_from_one_run_to_the_next(run, tmp_path):  # noqa: F811
    cache = [f"features.cache={tmp_path / 'cache'}", "features.dtype=float32"]
    plain = matched(run, tmp_path / "plain", "variant=vse", "loader.flip=false")
    first = matched(run, tmp_path / "first", "variant=vse", *cache)
    second = matched(run, tmp_path / "second", "variant=vse", *cache)
    made = "features are there already"
    assert made in first.out and made not in second.out + plain.out
    weights = [load_file(tmp_path / name / "last.safetensors") for name in ("plain", "first", "second")]
    assert all(torch.equal(value, other[name]) for other in weights[1:] for name, value in weights[0].items())
    scores = [log(tmp_path / name, "validation")[0] for name in ("plain", "first", "second")]
    assert scores[0] == scores[1] == scores[2]


def test_a_trained_captioner_is_a_start_for_matching_and_the_other_way_round(trained, run, tmp_path):  # noqa: F811
    """What the start does not have begins anew, what it has beyond is left."""
    joint = [f"init_from={trained}", "variant=par_matching", "siamese.anchor=frozen"]
    matched(run, tmp_path / "joint", *joint, "optimizer.lr=0", *STEPS)
    start, end = load_file(trained / "best.safetensors"), load_file(tmp_path / "joint" / "last.safetensors")
    assert all(torch.equal(end[name], value) for name, value in start.items())
    matched(run, tmp_path / "again", f"init_from={tmp_path / 'joint'}", "variant=ace", "optimizer.lr=0", *STEPS)
    again = load_file(tmp_path / "again" / "last.safetensors")
    best = load_file(tmp_path / "joint" / "best.safetensors")
    assert all(torch.equal(again[name], value) for name, value in best.items())
    answer = run("train", *BASE, f"init_from={tmp_path / 'joint'}", "variant=half", *STEPS, f"run_dir={tmp_path / 'half'}")
    assert answer.code == 0, answer.err


def test_what_hardly_trains_is_announced(run, tmp_path):  # noqa: F811
    """24 photographs in steps of 8, for one epoch: three steps."""
    answer = matched(run, tmp_path / "warm", "variant=ace", "matching.negatives.warmup_steps=2")
    assert "In the first 2 of its 3 steps all others of a step are negatives, not the hardest: lower matching.negatives" in answer.out
    assert "the generator draws from what training has seen" in answer.out and "encoder's weights are random" in answer.out
    answer = matched(run, tmp_path / "cold", "variant=ace", "matching.negatives.warmup_steps=1", "variant.phases.matching.train.encoder=1")
    assert "In the first 1 of its 3 steps" in answer.out and "lower" not in answer.out and "are random" not in answer.out


def test_a_run_that_only_matches_is_no_start_for_what_needs_captions(run, tmp_path):  # noqa: F811
    matched(run, tmp_path / "run", "variant=vse", *STEPS)
    message = failed(run("train", *BASE, "variant=half", f"init_from={tmp_path / 'run'}", f"run_dir={tmp_path / 'half'}"))
    assert "the decoder would know nothing" in message and not (tmp_path / "half").exists()
    message = failed(run("caption", f"run={tmp_path / 'run'}", "images=[a.jpg]"))
    assert "has learnt no captions" in message and "metrics=retrieval" in message
    message = failed(run("export", f"run={tmp_path / 'run'}", f"to={tmp_path / 'exported'}"))
    assert "has learnt no captions" in message


def test_a_cache_that_cannot_be_made_is_refused_first_and_another_one_serves_a_resumed_run(run, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("")
    cached = ["variant=vse", f"features.cache={tmp_path / 'file'}", f"run_dir={tmp_path / 'run'}"]
    message = failed(run("train", *BASE, *SMALL_SPACE, *cached))
    assert "features.cache:" in message and str(tmp_path / "file") in message and not (tmp_path / "run").exists()
    matched(run, tmp_path / "run", "variant=vse", f"features.cache={tmp_path / 'cache'}", "epochs=2", *STEPS)
    moved = run("train", f"resume={tmp_path / 'run'}", f"features.cache={tmp_path / 'other'}", "runtime.max_steps=null")
    assert moved.code == 0 and "The run is in" in moved.out and any((tmp_path / "other").iterdir()), moved.err


@pytest.mark.parametrize(
    ("overrides", "culprits"),
    [
        (["variant=baseline", "validation.metric=rsum"], ["validation.metric=rsum", "choose auto"]),
        (["variant=vse", "validation.metric=CIDEr"], ["validation.metric=CIDEr", "rsum"]),
        (["variant=vse", "matching=cmns", "matching.negatives.num_clusters=25"], ["matching.negatives.num_clusters=25", "24 candidates"]),
        (["variant=ace", "matching.negatives.samples=24"], ["matching.negatives.samples=24", "lower matching.negatives.samples"]),
        (["variant=ace", "matching.negatives.capacity=3", "matching.negatives.samples=3"], ["negatives.capacity=3"]),
        (["variant=par", "negatives=clustered", "negatives.num_clusters=25"], ["negatives.num_clusters=25", "24 candidates"]),
        (["variant=vse", "matching.loss.margin=0"], ["matching.loss.margin=0"]),
        (["variant=vse", "matching.loss.margin=2.5"], ["matching.loss.margin=2.5", "at most 2"]),
        (["variant=vse", "matching=infonce", "matching.loss.temperature=0"], ["matching.loss.temperature=0 must"]),
        (["variant=vse", "matching=infonce", "matching.loss.temperature=-1"], ["matching.loss.temperature=-1 must"]),
        (["variant=vse", "matching.num_captions=0"], ["matching.num_captions=0"]),
        (["variant=vse", "matching.siblings=kept"], ["matching.siblings", "masked"]),
        (["variant=vse", "matching=cmsn"], ["cmsn", "cmns"]),
        (["variant=vse", "loader.batch_size=1"], ["loader.batch_size=1", "2 or more"]),
        (["variant=vse", "variant.phases.matching.train.matcher=0"], ["nothing to train"]),
        (["variant=vse", "variant.phases.matching.matching_views=[dirty]"], ["matching_views names dirty", "clean"]),
        (["variant=par_matching", *NOTHING_JOINT], ["matching loss", "neither the encoder nor a matcher"]),
        (["variant=vse", "joint.dim=0"], ["joint.dim=0"]),
        (["variant=vse", "joint.pooling=last"], ["joint.pooling", "first_and_mean"]),
        (["variant=vse", "features.dtype=float64"], ["features.dtype", "float16"]),
        (["variant=vse", "spectral.warmup_epochs=-1"], ["spectral.warmup_epochs=-1"]),
        (["variant=vse", "text_encoder=transformer", "text_encoder.max_tokens=4"], ["loader.max_tokens=40", "text_encoder.max_tokens=4"]),
    ],
)  # fmt: skip
def test_mistakes_get_a_sentence(run, tmp_path, overrides, culprits):  # noqa: F811
    folder = tmp_path / "run"
    space = SMALL_SPACE if "text_encoder=transformer" not in overrides else SMALL_SPACE[2:]
    message = failed(run("train", *BASE, *space, *overrides, f"run_dir={folder}"))
    assert [culprit for culprit in culprits if culprit not in message] == [], message
    assert not folder.exists()


def test_a_matching_run_is_evaluated_by_retrieval_alone(trained, run, tmp_path):  # noqa: F811
    folder = tmp_path / "run"
    matched(run, folder, "variant=vse", *STEPS)
    before = files(folder)
    message = failed(run("evaluate", f"run={folder}"))
    assert "has learnt no captions: give metrics=retrieval" in message and files(folder) == before
    answer = run("evaluate", f"run={folder}", "metrics=retrieval", "conditions=[original,R0.1S50]")
    assert answer.code == 0, answer.err
    assert "rsum" in answer.out and "R0.1S50" in answer.out
    found = json.loads((folder / "evaluation" / "test" / "retrieval.json").read_text())
    assert [row["condition"] for row in found["rows"]] == ["original", "R0.1S50"] and found["rows"][0]["rsum"] > 0
    assert "was not trained to match" in failed(run("evaluate", f"run={trained}", "metrics=retrieval"))
    with pytest.raises(soli.interfaces.SoliError, match=r"was not trained to match.*variant=vse_plus_plus"):
        soli.load(trained).match([ToyDataset().read_image(ToyDataset().examples("test")[0])], ["a red circle"])
