"""Every mistake in an override is one sentence that names the culprit and the remedy."""

from __future__ import annotations

import pytest

from soli.configuration import compose
from soli.interfaces import SoliError

# The override, then what the message must name: the culprit as given, and the remedy.
MISTAKES = (
    ("optimizer.lerning_rate=1", "optimizer.lerning_rate=1: there is no key", "did you mean optimizer.lr?"),
    ("optimizer.warmup_step=1", "optimizer.warmup_step=1: there is no key", "did you mean optimizer.warmup_steps?"),
    ("optimzer.lr=1", "optimzer.lr=1: there is no", "did you mean optimizer.lr?"),
    ("lr=1", "lr=1: there is no", "did you mean optimizer.lr?"),
    ("learning_rate=1", "learning_rate=1: there is no", "did you mean optimizer.lr?"),
    ("batch_size=8", "batch_size=8: there is no", "did you mean loader.batch_size or generation.batch_size?"),
    ("optimizer={lr:1,decay:2}", "no key optimizer.decay", "optimizer has name, lr, factors"),
    ("degradation.conditions.0=R0.1S1", "no key degradation.conditions.0", "set it as degradation.conditions=<value>"),
    ("encoder.stages=3", "encoder.stages=3: there is no key", "encoder has _target_, feature_dim"),
    (
        "variant.phases.joint.losses.contrastive=1",
        "there is no group or key variant.phases.joint",
        "is a key of variant=par, variant=par_matching: choose one of these too.",
    ),
    (
        "encoder.class_token=false",
        "there is no key encoder.class_token",
        "is a key of encoder=vit_b16, encoder=vit_tiny: choose one of these too.",
    ),
    ("+foo=1", "+foo=1: there is no", "Groups: dataset, encoder,"),
    ("++sed=1", "++sed=1: there is no", "did you mean seed?"),
    ("+variant.phases.caption.losses.foo=1", "+variant.phases.caption.losses.foo=1: there is no key", "losses has caption, attention"),
    ("+variant.phases.second={epochs:1}", "+variant.phases.second", "variant.phases has caption"),
    ("+seed=1", "+seed=1", "leave out the +"),
    ("+encoder=tiny", "+encoder=tiny", "leave out the +"),
    ("~seed", "~seed: nothing can be left out", "Give seed another value"),
    ("~variant.phases.caption.losses.attention", "~variant.phases.caption.losses.attention: nothing", "another value"),
    ("~experiment", "~experiment: nothing can be left out", "experiment=null"),
    ("encodr=tiny", "encodr=tiny: there is no group", "did you mean encoder?"),
    ("encoder@other=tiny", "encoder@other=tiny", "Write encoder=<choice>, of resnet101"),
    ("encoder=resnt18", "encoder=resnt18: encoder has no choice resnt18", "did you mean resnet18?"),
    ("encoder=null", "encoder=null: encoder has no choice null", "Choose one of resnet101"),
    ("encoder=[tiny]", "encoder=[tiny]: encoder has no choice [tiny]", "Choose one of resnet101"),
    ("experiment=tpy", "experiment=tpy: experiment has no choice tpy", "did you mean toy?"),
    ("sweep=seed", "sweep=seed: sweep has no choice seed", "did you mean seeds?"),
    ("sweep=seeds,variants", "sweep=seeds,variants: a command makes one sweep", "Choose one of seeds, variants"),
    ("sweeps=seeds", "sweeps=seeds: there is no group", "did you mean sweep?"),
    ("seed=1,2", "seed=1,2 gives several values", "--multirun"),
    ("seed", "seed is not an override", "key=value"),
    ("run_dir=a{b", "run_dir=a{b is not an override", "quote"),
    ("loader.batch_size=abc", "loader.batch_size=abc", "must be a whole number"),
    ("loader.batch_size=true", "loader.batch_size=true", "must be a whole number"),
    ("loader.batch_size=null", "loader.batch_size=null", "must be a whole number"),
    ("runtime.workers=1.5", "runtime.workers=1.5", "must be a whole number"),
    ("runtime.threads=many", "runtime.threads=many", "a whole number or null"),
    ("optimizer.lr=false", "optimizer.lr=false", "must be a number"),
    ("optimizer.lr=nan", "optimizer.lr=nan", "must be a number"),
    ("logging.tensorboard=maybe", "logging.tensorboard=maybe", "must be true or false"),
    ("logging.tensorboard=1", "logging.tensorboard=1", "must be true or false"),
    ("optimizer.schedule=cosin", "optimizer.schedule=cosin", "constant or cosine (did you mean cosine?)"),
    ("degradation.mode=matrx", "degradation.mode=matrx", "did you mean matrix?"),
    ("degradation.conditions=original", "degradation.conditions=original", "a list such as [a,b]"),
    ("degradation.conditions=[1]", "degradation.conditions=[1]", "a list such as [a,b]"),
    ("seed=abc", "seed=abc", "must be a whole number"),
    ("run_dir=2024", "run_dir=2024 must be text or null", "\"run_dir='2024'\""),
    ("dataset.root=[a]", "dataset.root=[a]", "must be text or null"),
    ("encoder.framing=crp", "encoder.framing=crp", "crop"),
    ("run_dir=true", "run_dir=true", "text"),
    ("variant.phases.caption.epochs=ten", "variant.phases.caption.epochs=ten", "must be a whole number"),
    ("variant.phases.caption.losses.caption=high", "variant.phases.caption.losses.caption=high", "must be a number"),
    ("variant.phases.caption=null", "variant.phases.caption=null", "variant.phases.caption.<key>=<value>"),
    ("optimizer=adam", "optimizer=adam", "optimizer.<key>=<value>"),
    ("run_dir=${sed}", "run_dir", "Interpolation key 'sed' not found"),
    ("loader.batch_size=${run_dir}", "loader.batch_size=null", "must be a whole number"),
    ("decoder.glove=???", "decoder.glove must be given", "decoder.glove=<value> (or decoder.glove=null)"),
    (
        "encoder._target_=torch.nn.Linear",
        "encoder._target_=torch.nn.Linear is not a part of soli",
        "such as soli.encoders.ResNetEncoder",
    ),
    ("encoder._target_=soli.encoders.TinyEncodr", "encoder._target_=soli.encoders.TinyEncodr", "did you mean TinyEncoder?"),
    ("encoder._target_=soli.encoders.ResNetEncoder", "encoder.feature_dim=128: there is no key", "encoder takes _target_, name"),
    ("hydra.mod=RUN", "Could not override 'hydra.mod'", "+hydra.mod=RUN"),
)


def refusal(overrides: list[str], config_name: str = "train") -> str:
    with pytest.raises(SoliError) as caught:
        compose(overrides, config_name)
    return str(caught.value)


@pytest.mark.parametrize(("override", "culprit", "remedy"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_a_mistake_is_one_line_that_names_culprit_and_remedy(override: str, culprit: str, remedy: str) -> None:
    message = refusal([override])
    assert culprit in message
    assert remedy in message
    assert "\n" not in message


def test_a_key_that_no_choice_has_is_said_to_be_of_none() -> None:
    for overrides in (
        ["variant.phases.caption.losses.foo=1"],
        ["encoder=vit_tiny", "encoder.weights=a", "encoder.architecture.hidden_siz=8"],
        ["experiment.optimizer.lr=1"],
        ["optimizer.batch=1"],
    ):
        message = refusal(overrides)
        assert "there is no" in message and "is a key of" not in message, message


def test_mistakes_in_a_chosen_group_are_found() -> None:
    assert "encoder.weights=[1] must be text or null" in refusal(["encoder=resnet18", "encoder.weights=[1]"])
    assert "encoder.batch_norm=frosen must be frozen or trained (did you mean frozen?)" in refusal(
        ["encoder=resnet18", "encoder.batch_norm=frosen"]
    )
    assert compose(["encoder=resnet18", "encoder.stages=3"]).encoder.stages == 3


def test_other_commands_check_their_own_keys() -> None:
    assert "run, images must be given: add run=<value> images=<value>" in refusal([], "caption")
    assert "did you mean run?" in refusal(["runn=a"], "evaluate")
    assert "checkpoint=first must be best or last" in refusal(["run=a", "checkpoint=first"], "evaluate")
    assert "there is no key encoder" in refusal(["run=a", "encoder=tiny"], "evaluate")
    assert "runtime.device=null must be text" in refusal(["run=a", "runtime.device=null"], "evaluate")
    assert "did you mean train?" in refusal([], "trian")
    config = compose(["run=a", "conditions=[original]", "generation.length_penalty=1"], "evaluate")
    assert config.conditions == ["original"] and config.generation.num_beams is None
