"""soli/disks.py: errors of Python and of libraries written in Rust are told alike, each with what can be done about it."""

import errno
import os
from pathlib import Path

import pytest

from soli.disks import error_number, remedy, remedy_elsewhere, told, write_whole, writing
from soli.interfaces import SoliError


@pytest.mark.parametrize(
    ("number", "said", "advice"),
    [
        (errno.ENOSPC, "No space left on device", "Free some space there"),
        (errno.EACCES, "Permission denied", "Give yourself permission to write there"),
        (errno.EROFS, "Read-only file system", "The disk is read-only: make it writable again"),
    ],
)
def test_an_error_is_told_alike_whoever_raised_it(number, said, advice):
    ours = OSError(number, said, "/runs/a")
    of_rust = Exception(f"Error while serializing: I/O error: {said} (os error {number})")
    for reason in (ours, of_rust):
        assert (error_number(reason), told(reason), remedy(reason)) == (number, said, advice)
        assert remedy_elsewhere(reason) is not None
    with pytest.raises(SoliError) as caught, writing(Path("a"), "choose another folder"):
        raise ours
    assert str(caught.value) == f"a cannot be written: {said.lower()}. {advice}, or choose another folder."


def test_what_is_not_the_disks_error_keeps_its_own_words():
    reason = Exception("The header is too large.")
    assert (error_number(reason), told(reason), remedy_elsewhere(reason)) == (None, "The header is too large", None)


@pytest.mark.parametrize(("content", "written"), [("a caf\u00e9\r\n\udc80", b"a caf\xc3\xa9\r\n\\udc80"), (b"\0\xff\n", b"\0\xff\n")])
def test_a_whole_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, content, written):
    """Else a crash of the machine may leave the name with nothing in it."""
    path, plain, steps = tmp_path / "log.jsonl", os.fsync, []
    path.write_text("earlier")
    monkeypatch.setattr("os.fsync", lambda number: steps.append((os.fstat(number).st_size, path.read_text())) or plain(number))
    write_whole(path, content)
    assert steps == [(len(written), "earlier")]
    assert path.read_bytes() == written and [*tmp_path.iterdir()] == [path]


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    """On a disk that then does not even remove the half-written file, the first error is the one that is told."""
    path = tmp_path / "log.jsonl"
    path.write_text("earlier")

    def fails(number):
        return lambda *_, **__: (_ for _ in ()).throw(OSError(number, os.strerror(number)))

    monkeypatch.setattr("os.fsync", fails(errno.ENOSPC))
    monkeypatch.setattr(Path, "unlink", fails(errno.EROFS))
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_whole(path, "later")
    assert path.read_text() == "earlier"
