"""No command asks a network, unless a name on a hub was given: trained, evaluated and captioned with every socket closed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from PIL import Image

from tests.small_run_files import SMALL
from tests.test_commands import failed, run  # noqa: F401 - a fixture


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked of a network, all of it in vain."""
    found: list[str] = []

    def refuse(name: str):
        def refused(*details: object, **_: object) -> None:
            found.append(f"{name} {details[-1] if details else ''}")
            raise OSError(f"{name}: there is no network here")

        return refused

    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse(name))
    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refuse(name))
    return found


def test_the_sockets_are_closed(asked: list[str]) -> None:
    with pytest.raises(OSError, match="no network here"):
        socket.create_connection(("127.0.0.1", 9))
    with pytest.raises(OSError, match="no network here"), socket.socket() as one:
        one.connect(("127.0.0.1", 9))
    assert len(asked) == 2


def test_training_evaluation_and_captions_ask_nothing(asked: list[str], run, tmp_path: Path) -> None:  # noqa: F811
    folder = tmp_path / "run"
    steps = ("loader.batch_size=4", "epochs=1", "validation.limit=2", "degradation=toy", "generation.max_tokens=5")
    answer = run("train", *SMALL, *steps, f"run_dir={folder}")
    assert answer.code == 0, answer.err
    answer = run("evaluate", f"run={folder}", "metrics=[BLEU,CIDEr]", "conditions=[original,R0.1S50]", "gallery=1")
    assert answer.code == 0, answer.err
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    answer = run("caption", f"run={folder}", f"images=[{tmp_path / 'a.png'}]")
    assert answer.code == 0 and asked == [], answer.err


@pytest.mark.parametrize("given", ["encoder=resnet18 encoder.weights=DEFAULT", "encoder=vit_tiny encoder.weights=someone/model"])
def test_a_name_that_was_given_asks_and_says_that_there_is_none(asked: list[str], run, tmp_path: Path, monkeypatch, given: str) -> None:  # noqa: F811
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    if "someone" in given:
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: socket.create_connection((name, 443)))
    message = failed(run("train", *given.split(), "vocabulary.min_count=1", f"run_dir={tmp_path / 'run'}"))
    assert asked and "encoder.weights=" in message and not (tmp_path / "run").exists()
