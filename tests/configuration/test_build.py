"""build calls what soli defines, with plain values, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from soli.configuration import build
from soli.encoders import TinyEncoder
from soli.interfaces import SoliError


def test_build_gives_plain_containers_and_adds_what_soli_knows() -> None:
    node = OmegaConf.create(
        {"side": 64, "encoder": {"_target_": "soli.encoders.TinyEncoder", "feature_dim": 32, "input_size": "${side}"}}
    ).encoder
    encoder = build(node, framing="crop")
    assert isinstance(encoder, TinyEncoder) and (encoder.feature_dim, encoder.input_size, encoder.framing) == (32, 64, "crop")
    named = build({"_target_": "soli.encoders.TinyEncoder", "framing": OmegaConf.create([{"b": 1}])})
    assert type(named.framing) is list and type(named.framing[0]) is dict


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("os.system", "not a part of soli"),
        ("solist.system", "not a part of soli"),
        (None, "_target_=null is not a part of soli"),
        ("soli.configuration.console.sys.exit", "refused"),
        ("soli.runs.torch.load", "refused"),
        ("soli.configuration.folder.Path", "refused"),
        ("soli.encoders", "refused"),
        ("soli.configuration.console.QUIET", "refused"),
        ("soli.encoder.TinyEncoder", r"soli has no encoder \(did you mean encoders\?\)"),
        ("soli.encoders..TinyEncoder", "soli.encoders has no"),
        ("soli.interfaces.SoliError.__init__.x", "soli.interfaces.SoliError.__init__ has no x"),
        ("soli.datasets.read_photograph", "refused"),
        ("soli.runs.write_run", "refused"),
        ("soli.vocabulary.Vocabulary", "refused"),
    ],
)
def test_build_calls_only_what_soli_defines(target: str | None, reason: str) -> None:
    with pytest.raises(SoliError, match=reason):
        build({"_target_": target, "command": "true"})


@pytest.mark.parametrize(
    ("changes", "extra", "reason"),
    [
        ({"input_sise": 3}, {}, r"soli.encoders.TinyEncoder has no argument input_sise \(did you mean input_size\?\)"),
        ({"input_size": "???"}, {}, "input_size has no value"),
        ({"framing": "crop"}, {"framing": "squash"}, "framing comes from soli itself"),
        ({"_target_": "soli.decoders.AttentionLSTM"}, {"vocabulary": ("a",)}, "soli.decoders.AttentionLSTM needs feature_dim"),
    ],
)
def test_build_names_wrong_arguments(changes: Mapping[str, Any], extra: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(SoliError, match=reason):
        build({"_target_": "soli.encoders.TinyEncoder", **changes}, **extra)


def test_a_config_cannot_write_files(tmp_path: Path) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("mine", encoding="utf-8")
    with pytest.raises(SoliError, match="soli.evaluation.writing.write_whole is refused"):
        build({"_target_": "soli.evaluation.writing.write_whole", "path": str(precious), "text": "theirs"})
    assert precious.read_text(encoding="utf-8") == "mine"
