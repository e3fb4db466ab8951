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


@pytest.fixture
def own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A class in a file of a user's."""
    (tmp_path / "my_own_parts.py").write_text(
        "from subprocess import Popen\n\n\nclass Grid:\n    def __init__(self, side: int):\n        self.side = side\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "my_own_parts.Grid"


def test_a_part_of_the_users_own_is_built_where_the_user_names_its_module(own_part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SoliError, match=r"my_own_parts\.Grid is not a part of soli.*SOLI_PARTS"):
        build({"_target_": own_part, "side": 3})
    monkeypatch.setenv("SOLI_PARTS", "other, my_own_parts")
    assert build({"_target_": own_part, "side": 3}).side == 3
    for changes, reason in (
        ({"_target_": "my_own_parts.Gird"}, "my_own_parts.Gird is no class"),
        ({"_target_": "my_own_parts"}, "my_own_parts is no class"),
        ({"_target_": "my_own_parts.Popen"}, "my_own_parts.Popen is no class that my_own_parts defines"),
        ({"_target_": "other.Grid"}, "No module named 'other'. Mend the module, or put the folder that holds it into PYTHONPATH"),
        ({"_target_": "subprocess.Popen"}, "not a part of soli"),
        ({"sied": 3}, r"no argument sied \(did you mean side\?\)"),
    ):
        with pytest.raises(SoliError, match=reason):
            build({"_target_": own_part, "side": 3, **changes})


@pytest.mark.parametrize("named", ["os", "my_own_parts,subprocess", "soli", "my_own_parts.Grid"])
def test_python_itself_is_no_part(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLI_PARTS", named)
    with pytest.raises(SoliError, match="SOLI_PARTS=.* must be names of modules or packages of your own"):
        build({"_target_": "os.system", "command": "true"})


def test_a_config_cannot_write_files(tmp_path: Path) -> None:
    precious = tmp_path / "notes.txt"
    precious.write_text("mine", encoding="utf-8")
    with pytest.raises(SoliError, match="soli.evaluation.writing.write_whole is refused"):
        build({"_target_": "soli.evaluation.writing.write_whole", "path": str(precious), "text": "theirs"})
    assert precious.read_text(encoding="utf-8") == "mine"
