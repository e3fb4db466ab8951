"""soli/disks.py: errors of Python and of libraries written in Rust are told alike, each with what can be done about it."""

import errno
from pathlib import Path

import pytest

from soli.disks import error_number, remedy, remedy_elsewhere, told, writing
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
