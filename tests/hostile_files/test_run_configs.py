"""A stranger's run folder: its config.yaml names values only, and no code, variables of the environment or giants."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

import soli
from soli.configuration.written import MOST_BYTES
from soli.interfaces import SoliError
from soli.runs import read_config
from tests.small_run_files import small_run, write_run


def config_with(**values: object) -> bytes:
    """The config of the small run with values at dotted keys."""
    config = OmegaConf.create(small_run()["config.yaml"].decode())
    for key, value in values.items():
        OmegaConf.update(config, key.replace("__", "."), value, force_add=True)
    return OmegaConf.to_yaml(config).encode()


def complaint(folder: Path, content: bytes) -> str:
    with pytest.raises(SoliError) as caught:
        soli.load(write_run(folder / "run", config=content))
    assert "config.yaml" in str(caught.value)
    return str(caught.value)


def test_the_run_itself_is_read(tmp_path: Path) -> None:
    assert read_config(write_run(tmp_path / "run", config=config_with(seed=7)))["seed"] == 7


@pytest.mark.parametrize(
    "value",
    ["${oc.env:SOLI_SECRET}", "${oc.env:SOLI_SECRET,x}", "a/${oc.env:SOLI_SECRET}", "${seed}", "${oc.decode:${oc.env:SOLI_SECRET}}"],
)
def test_the_environment_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("SOLI_SECRET", "4711")
    for key in ("run_dir", "dataset__num_train"):
        message = complaint(tmp_path, config_with(**{key: value}))
        assert key.replace("__", ".") in message and "only plain values" in message and "4711" not in message


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "torch.load",
        "soli.runs.write_run",
        "soli.training.checkpoint.save_checkpoint",
        "soli.bridge.export.write_model",
        "soli.encoders.resnet.torch.load",
        "soli.encoders.vit.transformers.AutoModel",
        "soli.datasets.images.os.system",
        "soli.datasets.images.read_photograph",
        "soli.decoders.AttentionLSTM.__init__",
        "soli.encoders.vit.nn.Linear",
        "soli.encoders.tiny.Literal",
    ],
)
def test_only_classes_of_the_families_are_built(tmp_path: Path, target: str) -> None:
    message = complaint(tmp_path, config_with(encoder={"_target_": target, "command": f"touch {tmp_path / 'mark'}"}))
    assert target in message and not (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("section", "target"),
    [
        ("encoder", "soli.datasets.FolderDataset"),
        ("decoder", "soli.encoders.TinyEncoder"),
        ("dataset", "soli.losses.InfoNCELoss"),
        ("negatives", "soli.datasets.KarpathyDataset"),
        ("matching__loss", "soli.datasets.Flickr8kDataset"),
    ],
)
def test_a_section_is_built_of_its_own_family(tmp_path: Path, section: str, target: str) -> None:
    assert "is one of soli's" in complaint(tmp_path, config_with(**{section: {"_target_": target}}))


def test_yaml_makes_no_objects(tmp_path: Path) -> None:
    for text in (f"!!python/object/apply:os.system ['touch {tmp_path / 'mark'}']", "!!python/name:os.system", "!!python/module:os"):
        complaint(tmp_path, small_run()["config.yaml"] + f"\nextra: {text}\n".encode())
    assert not (tmp_path / "mark").exists()


def test_a_few_lines_do_not_become_gigabytes(tmp_path: Path) -> None:
    """Nine levels of nine aliases: 387 million values."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]", *(f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 9))]
    assert "an alias" in complaint(tmp_path, "\n".join(lines).encode())
    assert "nested more than" in complaint(tmp_path, b"a: " + b"[" * 5000)
    assert f"{MOST_BYTES:,}" in complaint(tmp_path, small_run()["config.yaml"] + b"# \n" * MOST_BYTES)


@pytest.mark.parametrize(
    "values",
    [
        {"decoder__hidden_dim": 2_000_000_000},
        {"decoder__hidden_dim": 1 << 62},
        {"decoder__hidden_dim": -4},
        {"encoder__feature_dim": 400_000_000},
        {"encoder__feature_dim": 7},
        {"embedding__projector": "mlp", "embedding__dim": 1 << 40},
    ],
    ids=str,
)
def test_a_giant_is_refused_before_memory_is_taken(tmp_path: Path, values: dict[str, object]) -> None:
    with pytest.raises(SoliError, match="belongs to another architecture|describes a model that cannot be built"):
        soli.load(write_run(tmp_path / "run", config=config_with(**values)))
