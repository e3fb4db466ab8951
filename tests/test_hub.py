"""Where pretrained files come from: folders first, the hub only for what can be a name there."""

import logging

import pytest

from soli.hub import fetch, quietly
from soli.interfaces import SoliError


def test_a_folder_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the network was asked"))
    assert fetch(str(tmp_path), "encoder.weights", ["config.json"]) == tmp_path


@pytest.mark.parametrize("source", ["/no/such", "./model", "../model", "~/no/such/model", "a/b/c"])
def test_a_path_never_asks_the_network(source, monkeypatch):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the network was asked"))
    with pytest.raises(
        SoliError, match=r"encoder.weights=.* does not exist, and is no name on the hub either. Give encoder.weights a local"
    ):
        fetch(source, "encoder.weights", ["config.json"])


def test_a_name_without_a_network_says_how_to_use_a_folder(monkeypatch):
    def offline(name, allow_patterns):
        raise OSError("no route to the hub\nand more lines")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(
        SoliError, match=r"gpt2 is no local folder, and could not be fetched.*\(no route to the hub\).*a local folder with config"
    ):
        fetch("gpt2", "decoder.weights", ["config.json"])


def test_a_name_is_downloaded_without_pickles(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, allow_patterns: asked.update({name: allow_patterns}) or str(tmp_path)
    )
    from soli.hub import MODEL_FILES

    assert fetch("someone/model", "encoder.weights", MODEL_FILES) == tmp_path
    assert asked == {"someone/model": MODEL_FILES} and not any(".bin" in name or ".py" in name for name in MODEL_FILES)


def test_quiet_is_over_afterwards():
    from transformers.utils import logging as theirs

    before = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    with quietly():
        assert theirs.get_verbosity() == logging.ERROR and not theirs.is_progress_bar_enabled()
    assert (theirs.get_verbosity(), theirs.is_progress_bar_enabled()) == before
