"""Every command of scripts/prepare_data.py that README.md and the other documents show prepares a small dataset from what it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents.calls import read_call
from tests.documents.parsing import all_commands
from tests.documents.test_documented_commands import PREPARING
from tests.test_prepare_data import (
    COCO,
    EIGHT,
    SETS,
    THIRTY,
    Command,
    below,
    command,  # noqa: F401 - a fixture
    original,
    script,  # noqa: F401 - a fixture
    write_folder,
    write_tar,
    write_zip,
)

PREPARATIONS = [read_call(each.text) for each in all_commands() if each.text.startswith(f"python {PREPARING}")]


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user has downloaded, and disk/ in place of /disk."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "Downloads"
    folder.mkdir()
    original(folder)
    write_tar(folder / "flickr30k-images.tar.gz", below("flickr30k-images", THIRTY.photographs))
    write_zip(folder / "caption_datasets.zip", {f"dataset_{data.dataset}.json": data.karpathy for data in (COCO, EIGHT, THIRTY)})
    names = zip(SETS, COCO.photographs.items(), strict=True)
    write_folder(tmp_path / "disk", {f"{part}/{name}": content for part, (name, content) in names})


def test_what_documents_prepare_is_complete(command: Command, downloads: None) -> None:  # noqa: F811
    assert len(PREPARATIONS) >= 4
    for call in sorted(PREPARATIONS, key=lambda call: "--check" in call.arguments):  # of what was prepared before
        code, said = command(*call.arguments)
        assert code == 0 and "Complete." in said, f"{' '.join(call.arguments)}: {said}"


def test_a_mistake_in_a_document_is_found(command: Command, downloads: None) -> None:  # noqa: F811
    code, said = command(*PREPARATIONS[0].arguments, "--lnk")
    assert code == 2 and "--lnk" in said
    code, said = command(*(argument.replace(".zip", ".tar") for argument in PREPARATIONS[0].arguments))
    assert code == 1 and "does not exist" in said
