"""Archives: nothing outside the folder, nothing beyond the limits, the whole archive or nothing, and a sentence for each mistake."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import signal
import stat
import tarfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from soli.datasets.archive_entries import kind_of
from soli.datasets.archives import RECORD, Limits, unpack
from soli.interfaces import SoliError

CONTENT = {"a.txt": b"one", "images/b.jpg": b"two\0" * 1000, "images/deeper/ü.txt": b"drei", "inner.zip": b"PK\5\6" + bytes(18)}
KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")


def make_zip(path: Path, entries: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name or zipfile.ZipInfo(""), content)  # Python 3.11 makes none of an empty name
    return path


def make_tar(path: Path, entries: dict[str, bytes] | list[tuple[tarfile.TarInfo, bytes]], kind: str = "") -> Path:
    with tarfile.open(path, f"w:{kind}") as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def make(path: Path, entries: dict[str, bytes], kind: str) -> Path:
    return make_zip(path, entries) if kind == "zip" else make_tar(path, entries, kind.partition(".")[2])


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != RECORD}


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo("special")
    info.type, info.linkname = kind, target
    return info


def zip_link(target: str) -> list[tuple[zipfile.ZipInfo, bytes]]:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return [(info, target.encode())]


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., str]:
    """The sentence with which an archive is refused; afterwards nothing of it is anywhere."""

    def refuse(archive: Path, limits: Limits | None = None) -> str:
        before = {path for path in tmp_path.rglob("*")}
        with pytest.raises(SoliError) as caught:
            unpack(archive, tmp_path / "out", limits)
        assert {path for path in tmp_path.rglob("*")} == before
        assert archive.name in str(caught.value) and "\n" not in str(caught.value)
        return str(caught.value)

    return refuse


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_are_unpacked_whatever_they_are_called(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / "download", CONTENT, kind)
    assert unpack(archive, tmp_path / "deep" / "out")
    assert files_of(tmp_path / "deep" / "out") == CONTENT  # the archive within it stays one
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["out"]


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_a_single_compressed_file(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]) -> None:
    archive = tmp_path / f"captions.json.{suffix}"
    archive.write_bytes(compress(b"words"))
    unpack(archive, tmp_path / "out")
    assert files_of(tmp_path / "out") == {"captions.json": b"words"}


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_wanted_is_written(tmp_path: Path, kind: str) -> None:
    archive = make(tmp_path / "download", CONTENT, kind)
    unpack(archive, tmp_path / "out", wanted=lambda name: name.endswith(".jpg"))
    assert files_of(tmp_path / "out") == {"images/b.jpg": CONTENT["images/b.jpg"]}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_what_is_wanted_is_asked_by_one_name_and_of_no_folder(tmp_path: Path, kind: str) -> None:
    entries = [("./", b""), ("images/", b""), ("./images/b.jpg", b"two"), ("images//c.jpg", b"drei")]
    if kind == "zip":
        archive = make_zip(tmp_path / "download", entries)
    else:
        infos = [(tarfile.TarInfo(name), content) for name, content in entries]
        for info, _ in infos[:2]:
            info.type = tarfile.DIRTYPE
        archive = make_tar(tmp_path / "download", infos)
    asked = []
    unpack(archive, tmp_path / "out", wanted=lambda name: asked.append(name) or name.endswith(".jpg"))
    assert set(asked) == {"images/b.jpg", "images/c.jpg"}
    assert files_of(tmp_path / "out") == {"images/b.jpg": b"two", "images/c.jpg": b"drei"}


def test_a_finished_archive_is_not_unpacked_again_but_a_changed_one_is_refused(tmp_path: Path) -> None:
    archive, folder = make_zip(tmp_path / "a.zip", CONTENT), tmp_path / "out"
    assert unpack(archive, folder)
    (folder / "a.txt").write_bytes(b"changed since")
    assert not unpack(archive, folder) and (folder / "a.txt").read_bytes() == b"changed since"
    make_zip(archive, {"a.txt": b"another"})
    with pytest.raises(SoliError, match="is there already, and is not what .*a.zip unpacks to"):
        unpack(archive, folder)


def test_the_quicker_of_two_that_unpack_the_same_is_as_good_for_both(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    archive, quicker = make_zip(tmp_path / "a.zip", CONTENT), []
    assert not unpack(archive, tmp_path / "out", wanted=lambda name: quicker.append(unpack(archive, tmp_path / "out")) or True)
    assert quicker[0] and not any(quicker[1:]) and files_of(tmp_path / "out") == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out"]


def test_a_record_that_another_program_wrote_is_no_record(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", CONTENT)
    (tmp_path / "out").mkdir()
    for content in (b"[" * 100_000, b"[]", b"{", b"\xff"):
        (tmp_path / "out" / RECORD).write_bytes(content)
        with pytest.raises(SoliError, match="is there already, and is not what"):
            unpack(archive, tmp_path / "out")


def test_a_folder_or_a_link_that_was_there_is_left_alone(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", CONTENT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "link").symlink_to(outside)
    unpack(archive, tmp_path / "whole")
    (tmp_path / "linked_whole").symlink_to(tmp_path / "whole")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("outside", "link", "dangling", "linked_whole"):
        with pytest.raises(SoliError, match="is there already"):
            unpack(archive, tmp_path / name)
    assert list(outside.iterdir()) == [] and not (tmp_path / "nowhere").exists()


# Names that an entry must not have, with what is said of them.
BAD_NAMES = {
    "../out.txt": "leads out of its folder",
    "a/../../out.txt": "leads out of its folder",
    "a/.. /out.txt": "leads out of its folder",  # Windows drops the space
    "a/.../out.txt": "leads out of its folder",
    "/etc/out.txt": "is absolute",
    "//server/share/out.txt": "is absolute",
    "..\\out.txt": "has a backslash",
    "C:/out.txt": "has a drive letter",
    "a/c:out.txt": "has a drive letter",
    "x" * 256: "is longer than 255 bytes",
    "ü" * 130: "is longer than 255 bytes",
    "a/" * 16 + "b": "lies more than 16 folders deep",
    "x\x1b[2J\n.txt": "has a control character",
    "a/\x9bx.txt": "has a control character",
    ".": "is no name of a file",
    "": "is no name of a file",
}


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize(("name", "sentence"), BAD_NAMES.items(), ids=lambda text: text[:12])
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, refused: Callable[..., str], kind: str, name: str, sentence: str) -> None:
    assert sentence in refused(make(tmp_path / "bad", {"good.txt": b"good", name: b"bad"}, kind))
    wanted = make(tmp_path / "unwanted", {"good.txt": b"good", name: b"bad"}, kind)
    if name not in ("", "."):
        with pytest.raises(SoliError, match=sentence):
            unpack(wanted, tmp_path / "out", wanted=lambda name: name == "good.txt")


def test_a_name_with_a_nul_character_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    content = make_zip(tmp_path / "bad.zip", {"images/a.jpg_x.txt": b"bad"}).read_bytes()
    (tmp_path / "bad.zip").write_bytes(content.replace(b"a.jpg_x", b"a.jpg\0x"))
    assert "has a control character" in refused(tmp_path / "bad.zip")
    info = tarfile.TarInfo("short.txt")
    info.pax_headers = {"path": "a.jpg\0x.txt"}
    assert "has a control character" in refused(make_tar(tmp_path / "bad.tar", [(info, b"bad")]))


def test_a_name_that_is_no_text_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("\xfc.txt"))
    assert "is no Unicode text" in refused(tmp_path / "bad.tar")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["a.txt", "a.txt"], "is there twice"),
        (["a.txt", "./a.txt"], "is there twice"),
        (["a.txt", "A.TXT"], "differs from 'a.txt' only"),
        (["images/a", "Images/b"], "differs from 'images' only"),
        (["é.txt", "e\u0301.txt"], "differs from 'é.txt' only"),
        (["straße", "STRASSE"], "differs from 'straße' only"),
        (["a.txt", "a.txt."], "differs from 'a.txt' only"),
        (["a", "a/b"], "is the name of a folder and of a file"),
        (["a/b", "a"], "is the name of a folder and of a file"),
        ([RECORD], "is there twice"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_a_file_system_may_take_for_one_are_refused(
    tmp_path: Path, refused: Callable[..., str], names: list[str], sentence: str, kind: str
) -> None:
    path = tmp_path / "bad"
    entries = [(name, b"") for name in names]
    archive = make_zip(path, entries) if kind == "zip" else make_tar(path, [(tarfile.TarInfo(name), b"") for name in names])
    assert sentence in refused(archive)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([(special(tarfile.SYMTYPE, "/etc/passwd"), b"")], "is a link"),
        ([(special(tarfile.SYMTYPE, "good.txt"), b"")], "is a link"),
        ([(special(tarfile.LNKTYPE, "../../outside"), b"")], "is a link"),
        ([(special(tarfile.CHRTYPE), b"")], "is a device"),
        ([(special(tarfile.BLKTYPE), b"")], "is a device"),
        ([(special(tarfile.FIFOTYPE), b"")], "is a device or another special file"),
        ([(special(b"V"), b"")], "is a device or another special file"),
        ([(special(tarfile.GNUTYPE_SPARSE), b"")], "is a sparse file"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, refused: Callable[..., str], entries: list, sentence: str) -> None:
    for kind in ("", "gz"):
        assert sentence in refused(make_tar(tmp_path / f"bad.{kind}", entries, kind))


def test_a_link_in_a_zip_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "the entry 'link' is a link" in refused(make_zip(tmp_path / "bad.zip", zip_link("/etc")))


def test_a_link_is_not_followed_by_what_comes_behind_it(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "outside").mkdir()
    link = special(tarfile.SYMTYPE, str(tmp_path / "outside"))
    assert "is a link" in refused(make_tar(tmp_path / "bad.tar", [(link, b""), (tarfile.TarInfo("special/out.txt"), b"bad")]))
    assert list((tmp_path / "outside").iterdir()) == []


SMALL = Limits(total_bytes=10_000_000, always_bytes=100_000, ratio=20)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tar"])
def test_what_expands_too_far_is_refused(tmp_path: Path, refused: Callable[..., str], kind: str) -> None:
    bomb = make(tmp_path / "bomb", {f"{number}.txt": bytes(500_000) for number in range(4)}, kind)
    assert "it may be made to fill the disk" in refused(bomb, SMALL)
    unpack(bomb, tmp_path / "trusted", Limits(ratio=10**6))
    assert sum(map(len, files_of(tmp_path / "trusted").values())) == 2_000_000


def test_a_single_file_that_expands_too_far_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(1_000_000)))
    assert "expands to more than 100,000 bytes" in refused(tmp_path / "bomb.gz", SMALL)


def test_a_zip_that_lies_about_sizes_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    content = bytearray(make_zip(tmp_path / "bomb.zip", {"a.txt": bytes(1_000_000)}).read_bytes())
    for signature, place in ((b"PK\1\2", 24), (b"PK\3\4", 22)):  # where the two headers have the size
        start = content.index(signature) + place
        content[start : start + 4] = (10).to_bytes(4, "little")
    (tmp_path / "bomb.zip").write_bytes(content)
    assert "is cut off or damaged" in refused(tmp_path / "bomb.zip", SMALL)


def test_a_zip_whose_entries_share_their_bytes_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    """A hundred entries of the directory lead to the same file."""
    content = make_zip(tmp_path / "bomb.zip", {"a.txt": Random(0).randbytes(40_000)}).read_bytes()
    start, end = content.index(b"PK\1\2"), content.index(b"PK\5\6")
    record = content[start:end].replace(b"a.txt", b"%s.txt")
    directory = b"".join(record.replace(b"%s", b"%c" % (33 + number)) for number in range(90))
    local = content[:start]
    last = bytearray(content[end:])
    last[8:12] = (90).to_bytes(2, "little") * 2
    last[12:16] = len(directory).to_bytes(4, "little")
    (tmp_path / "bomb.zip").write_bytes(local + directory + last)
    assert "expands to more than" in refused(tmp_path / "bomb.zip", SMALL)


def test_too_many_entries_are_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    entries = {f"{number}.txt": b"" for number in range(11)}
    for kind in ("zip", "tar"):
        archive = make(tmp_path / kind, entries, kind)
        assert "has more than 10 entries" in refused(archive, Limits(entries=10))
        unpack(archive, tmp_path / f"{kind}_out", Limits(entries=11))


def test_a_tar_header_that_claims_to_be_endless_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    """Its length is believed by tarfile, which would read it into memory."""
    info = tarfile.TarInfo("path")
    info.type, info.size = tarfile.XHDTYPE, 2**32
    with gzip.open(tmp_path / "bomb.tar.gz", "wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT) + bytes(3_000_000))
    assert "has a header of 4,294,967,296 bytes" in refused(tmp_path / "bomb.tar.gz")


def test_a_tar_of_headers_of_headers_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    """Each leads tarfile one call deeper."""
    info = tarfile.TarInfo("path")
    info.type, info.size = tarfile.XHDTYPE, 0
    (tmp_path / "deep.tar").write_bytes(info.tobuf(tarfile.USTAR_FORMAT) * 3000 + bytes(10240))
    assert "is cut off or damaged" in refused(tmp_path / "deep.tar")


def test_bytes_that_are_skipped_are_counted_too(tmp_path: Path) -> None:
    """An unwanted entry of a compressed tar must be decompressed to get past it."""
    bomb = make_tar(tmp_path / "bomb.tgz", {"unwanted": bytes(5_000_000), "good.txt": b"good"}, "gz")
    with pytest.raises(SoliError, match="expands to more than"):
        unpack(bomb, tmp_path / "out", Limits(total_bytes=1_000_000, entries=10), wanted=lambda name: name == "good.txt")


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_download_is_refused_wherever_it_ends(tmp_path: Path, refused: Callable[..., str], kind: str) -> None:
    content = make(tmp_path / "whole", CONTENT, kind).read_bytes()
    end = len(content.rstrip(b"\0")) if kind == "tar" else len(content)
    for length in (end // 3, end // 2, end - 100, end - 1):
        (tmp_path / "half.tar").write_bytes(content[:length])
        assert "is cut off or damaged" in refused(tmp_path / "half.tar")


def test_a_tar_that_ends_between_two_entries_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    content = make_tar(tmp_path / "whole", {"a.txt": b"x" * 512, "b.txt": b"y" * 512}).read_bytes()
    for length in (1024, 2048):
        (tmp_path / "half.tar").write_bytes(content[:length])
        assert "does not end as a tar file does" in refused(tmp_path / "half.tar")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_are_found_or_change_nothing_of_others(tmp_path: Path, kind: str) -> None:
    content = make(tmp_path / "whole", {"a.jpg": Random(0).randbytes(3000)}, kind).read_bytes()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 0x41
        (tmp_path / "damaged.tar").write_bytes(damaged)
        try:
            unpack(tmp_path / "damaged.tar", tmp_path / "out")
        except SoliError:
            assert not (tmp_path / "out").exists()
        else:
            assert sum(path.is_file() for path in tmp_path.rglob("*")) <= 4
            shutil.rmtree(tmp_path / "out")


def test_an_encrypted_archive_is_named(tmp_path: Path, refused: Callable[..., str]) -> None:
    content = bytearray(make_zip(tmp_path / "secret.zip", {"a.txt": b"words"}).read_bytes())
    for signature, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):  # where the two headers have the flags
        content[content.index(signature) + place] |= 1
    (tmp_path / "secret.zip").write_bytes(content)
    assert "the entry 'a.txt' is encrypted" in refused(tmp_path / "secret.zip")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty: download it again"),
        (b"\n\n<!DOCTYPE html>\n<html><head><title>Sign in</title>", "is a web page, which was saved in place of the file"),
        (b"\xef\xbb\xbf<HTML>", "is a web page"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "is an archive of the kind 7z"),
        (b"Rar!\x1a\7\1\0", "is an archive of the kind RAR"),
        (b"some text", "is no archive: zip, tar"),
        (b"PK\3\4", "is cut off or damaged"),
        (b"\x1f\x8b\x08\0", "is cut off or damaged"),
        (b"\x1f\x8b" + bytes(500), "is cut off or damaged"),
    ],
)
def test_files_that_are_no_archives_get_a_sentence(tmp_path: Path, refused: Callable[..., str], content: bytes, sentence: str) -> None:
    (tmp_path / "download.zip").write_bytes(content)
    assert sentence in refused(tmp_path / "download.zip")


def test_what_is_not_there_or_not_finished_gets_a_sentence(tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "does not exist" in refused(tmp_path / "nothing.zip")
    (tmp_path / "folder.zip").mkdir()
    assert "is no file" in refused(tmp_path / "folder.zip")
    for name in ("a.zip.crdownload", "a.zip.part"):
        assert "is a download that is not finished" in refused(make_zip(tmp_path / name, CONTENT))


def test_a_full_disk_is_seen_before_anything_is_written(
    tmp_path: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**40, 2**40 - 1000, 1000))
    sentence = refused(make_zip(tmp_path / "a.zip", CONTENT))
    assert "needs 0.1 GiB in" in sentence and "which has 0.0 GiB free" in sentence


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(SoliError, match="cannot be written: no space left on device. Free some space there, or choose another folder"):
        unpack(make_zip(tmp_path / "a.zip", CONTENT), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_an_interrupted_unpacking_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(name: str) -> bool:
        if name == "inner.zip":
            raise KeyboardInterrupt
        return True

    for kind in KINDS:
        archive = make(tmp_path / kind, CONTENT, kind)
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, tmp_path / "out", wanted=interrupt)
        assert not (tmp_path / "out").exists() and not [path for path in tmp_path.iterdir() if path.is_dir()]
        assert unpack(archive, tmp_path / "out") and files_of(tmp_path / "out") == CONTENT
        shutil.rmtree(tmp_path / "out")


def test_what_a_killed_unpacking_left_is_removed_but_not_what_another_writes(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    dead, alive = tmp_path / ".out.unfinished-dead", tmp_path / ".out.unfinished-alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "a.txt").write_bytes(b"half")
    lock = os.open(alive, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpack(make_zip(tmp_path / "a.zip", CONTENT), tmp_path / "out")
    finally:
        os.close(lock)
    assert not dead.exists() and (alive / "a.txt").exists() and files_of(tmp_path / "out") == CONTENT


def test_a_new_folder_that_another_takes_for_a_leftover_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other removes it before it is locked; or holds its lock while this one asks for it, and removes it then."""
    fcntl = pytest.importorskip("fcntl")
    open_file, taken, others = os.open, [], []

    def remove(folder: Path, descriptor: int) -> None:
        shutil.rmtree(folder)
        os.close(descriptor)

    def open_after_another(path: Path, flags: int, *rest: int, **named: int) -> int:
        if ".unfinished-" in str(path) and path not in taken and len(taken) < 2:
            taken.append(path)
            theirs = open_file(path, os.O_RDONLY)
            fcntl.flock(theirs, fcntl.LOCK_EX)
            if len(taken) == 1:
                remove(path, theirs)
            else:
                ours = open_file(path, flags)
                others.append(threading.Thread(target=remove, args=(path, theirs)))
                others[0].start()
                return ours
        return open_file(path, flags, *rest, **named)

    archive = make_zip(tmp_path / "a.zip", CONTENT)
    with monkeypatch.context() as changed:
        changed.setattr(os, "open", open_after_another)
        assert unpack(archive, tmp_path / "out")
    others[0].join()
    assert len(taken) == 2 and files_of(tmp_path / "out") == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out"]


def test_a_leftover_that_another_removes_at_the_same_time_is_no_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fcntl")
    leftover = tmp_path / ".out.unfinished-dead"
    leftover.mkdir()
    open_file = os.open

    def open_too_late(path: Path, *rest: int, **named: int) -> int:
        if path == leftover:
            leftover.rmdir()
        return open_file(path, *rest, **named)

    monkeypatch.setattr(os, "open", open_too_late)
    assert unpack(make_zip(tmp_path / "a.zip", CONTENT), tmp_path / "out") and not leftover.exists()


def test_a_killed_process_leaves_no_folder_that_is_taken_for_whole(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    archive, (reader, writer) = make_zip(tmp_path / "a.zip", CONTENT), os.pipe()
    child = os.fork()  # quicker than another Python with PyTorch
    if not child:
        try:
            unpack(archive, tmp_path / "out", wanted=lambda name: wait_to_be_killed(tmp_path, writer))
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"!"  # or nothing, where the child has ended
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
    (left,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    assert left.name.startswith(".out.unfinished-") and (left / "a.txt").exists()
    assert unpack(archive, tmp_path / "out") and files_of(tmp_path / "out") == CONTENT and not left.exists()


def wait_to_be_killed(folder: Path, writer: int) -> bool:
    """Once something has been written."""
    if any(path.is_file() for path in folder.glob(".out.*/*")):
        os.write(writer, b"!")
        time.sleep(100)
    return True


def test_kinds_are_told_by_content(tmp_path: Path) -> None:
    for kind in KINDS:
        assert kind_of(make(tmp_path / f"{kind}.txt", CONTENT, kind)) == kind.rpartition(".")[2]
    (tmp_path / "a.json").write_text("{}")
    assert kind_of(tmp_path / "a.json") is None


def test_modes_and_owners_are_not_taken_over(tmp_path: Path) -> None:
    info = tarfile.TarInfo("program")
    info.mode, info.uid, info.size = 0o4777, 0, 3
    unpack(make_tar(tmp_path / "a.tar", [(info, b"abc")]), tmp_path / "out")
    mode = (tmp_path / "out" / "program").stat().st_mode
    assert not mode & (stat.S_ISUID | stat.S_IXUSR) and (tmp_path / "out").stat().st_mode & 0o777 == tmp_mode(tmp_path)


def tmp_mode(folder: Path) -> int:
    """That of a folder made here as any other."""
    (folder / "plain").mkdir()
    return (folder / "plain").stat().st_mode & 0o777
