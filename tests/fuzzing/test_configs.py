"""Overrides on the command line, and the configs of run folders, down to the model that they describe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import soli
from soli.configuration import compose
from soli.datasets import ToyDataset
from tests.fuzzing.strategies import VALUES, altered, damaged, folder_with, fuzz, only_sentences
from tests.small_run_files import small_run

KEYS = ["seed", "encoder", "encoder.weights", "optimizer.lr", "variant.phases.caption.losses.caption", "degradation.conditions", "run_dir"]
KEYS += [
    "dataset.root",
    "encoder._target_",
    "epochs",
    "matching.loss",
    "~seed",
    "+new",
    "++a.b",
    "encoder@decoder",
    "hydra.job.chdir",
    "",
    "a.b.c",
]
VALUES_GIVEN = [
    "1",
    "null",
    "[a,b]",
    "{a:1}",
    "${seed}",
    "${oc.env:HOME}",
    "${",
    "1e400",
    "nan",
    "'",
    '"',
    "\\",
    "1,2",
    "tiny",
    "os.system",
    "???",
]
OVERRIDES = st.builds("{}={}".format, st.sampled_from(KEYS), st.sampled_from(VALUES_GIVEN) | st.text(max_size=8)) | st.text(max_size=15)


def as_yaml(value: object) -> bytes:
    """Plain values in yaml as JSON has it, which is yaml too."""
    import yaml

    return yaml.safe_dump(value, allow_unicode=False).encode()


@given(overrides=st.lists(OVERRIDES, min_size=1, max_size=2))
@fuzz(30)
def test_overrides(overrides: list[str]) -> None:
    with only_sentences():
        compose(overrides)


def test_the_undamaged_run_is_loaded() -> None:
    with folder_with(small_run()) as folder:
        assert len(soli.load(folder).caption([ToyDataset(num_test=1).read_image(ToyDataset(num_test=1).examples("test")[0])])) == 1


@given(data=st.data())
@fuzz(50)
def test_configs_of_runs_with_other_values(data: st.DataObject) -> None:
    config = OmegaConf.to_container(OmegaConf.create(small_run()["config.yaml"].decode()))
    part = data.draw(st.sampled_from(["encoder", "decoder", "embedding", "dataset", "variant", "generation", None]))
    if part is None:
        config = data.draw(altered(config, VALUES))
    else:
        config[part] = data.draw(altered(config[part], VALUES))
    check({"config.yaml": as_yaml(config)})


@given(content=st.deferred(lambda: damaged(small_run()["config.yaml"])))
@fuzz(40)
def test_damaged_configs_of_runs(content: bytes) -> None:
    check({"config.yaml": content})


def check(files: dict[str, bytes]) -> None:
    with folder_with({**small_run(), **files}) as folder, only_sentences():
        soli.load(folder)
