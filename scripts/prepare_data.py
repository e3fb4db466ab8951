"""Flickr8k, Flickr30k or MS COCO, from what was downloaded of it, to the folder that soli reads.

    python scripts/prepare_data.py flickr8k ~/Downloads/Flickr8k_Dataset.zip ~/Downloads/Flickr8k_text.zip
    python scripts/prepare_data.py coco /disk/train2017 /disk/val2017 caption_datasets.zip --link --out data/coco
    python scripts/prepare_data.py flickr8k --check

Give archives, folders and caption files in any order; which is which is seen from what is in them. Nothing is downloaded, and nothing is
written outside the output folder. What is there already is kept, so that a missing part can be given later. At the end stands what is
there, what is missing and where it is had, and the next command. The exit code is 0 only where the dataset is complete.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().with_suffix("")))

from facts import DATASETS, Facts
from holding import alone
from placing import WORK, Manner, Placed, check_output, check_texts, choose, place
from recognising import PHOTOGRAPHS, Found, files_below, is_debris, is_wanted, look_at_file
from reporting import next_command, show
from shrinking import SMALLEST
from verifying import Verdict, about_extras, verify

from soli.configuration import script
from soli.datasets.archive_entries import kind_of, open_archive
from soli.datasets.archives import unpack
from soli.disks import writing
from soli.interfaces import SoliError
from soli.printing import printable
from soli.spelling import nearest


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # removes what is half done, too
    given = read_arguments()
    facts, out = DATASETS[given.dataset], given.out
    try:
        if given.check:
            verdict = check(facts, out, given.partial)
        else:
            verdict = prepare(facts, given.sources, out, Manner(given.link, given.size), given.partial)
    except KeyboardInterrupt:
        print(printable(f"\nStopped. What is whole is kept in {out}: the same command goes on from there."), file=sys.stderr)
        sys.exit(130)
    report = {"dataset": facts.name, "folder": str(out), "complete": verdict.is_complete, **verdict.figures}
    report |= {"missing": verdict.missing, "notes": verdict.notes, "next": next_command(facts, out, verdict)}
    if given.report is not None:
        with writing(given.report, "give another --report"):
            given.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    show(facts, out, verdict)
    sys.exit(not verdict.is_complete)


def read_arguments() -> argparse.Namespace:
    """Raises SoliError for what cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", help=", ".join(DATASETS))
    parser.add_argument("sources", nargs="*", type=Path, help="archives, folders and caption files; with --check, the folder to check")
    parser.add_argument("--out", type=Path, help="the folder that soli reads; data/<dataset> by default")
    parser.add_argument("--link", action="store_true", help="link to files of folders in place of copying them")
    parser.add_argument("--size", type=int, help="make copies whose shorter side has so many pixels: for small disks")
    parser.add_argument("--check", action="store_true", help="only look at what is in --out; write nothing")
    parser.add_argument(
        "--partial", action="store_true", help="a part of the dataset is meant: other numbers than the published are no mistake"
    )
    parser.add_argument("--report", type=Path, help="a file for the same as JSON")
    given = parser.parse_intermixed_args()
    choices = ", ".join(DATASETS)
    if given.dataset is None:
        raise SoliError(
            f"Give the dataset ({choices}) and what you have of it, for example: "
            "python scripts/prepare_data.py flickr8k ~/Downloads/Flickr8k_Dataset.zip ~/Downloads/Flickr8k_text.zip"
        )
    given.dataset = given.dataset.lower()
    if given.dataset not in DATASETS:
        raise SoliError(
            f"There is no dataset {given.dataset!r}{nearest(given.dataset, DATASETS)}: the first word must be one of {choices}."
        )
    return _checked(given)


def _checked(given: argparse.Namespace) -> argparse.Namespace:
    facts = DATASETS[given.dataset]
    given.sources = [source.expanduser() for source in given.sources]
    if given.size is not None and (given.size < SMALLEST or given.link):
        raise SoliError(f"--size {given.size} makes smaller copies: give at least {SMALLEST} pixels, and leave --link out.")
    if given.check:
        if given.link or given.size is not None or len(given.sources) > 1 or (given.sources and given.out):
            raise SoliError("--check only looks at one folder: give it as --out, and no other sources, --link or --size.")
        given.out = given.sources[0] if given.sources else given.out
    elif not given.sources:
        parts = "\n".join(f"  {name}: {where}" for name, where in facts.where.items())
        raise SoliError(f"Give what you have of {facts.title}: archives, folders or caption files. They are had as\n{parts}")
    given.out = (given.out or Path("data", facts.name)).expanduser()
    if given.report is not None and not given.report.resolve().parent.is_dir():
        raise SoliError(f"--report {given.report} would lie in a folder that does not exist: make it first, or name a file elsewhere.")
    return given


def check(facts: Facts, out: Path, partial: bool) -> Verdict:
    """What is in a prepared folder. Raises SoliError where there is none."""
    if not out.is_dir():
        raise SoliError(f"{out} is no folder: give the one to check, --out <folder>.")
    return verify(out, look_below(out, facts), facts, partial)


def prepare(facts: Facts, sources: list[Path], out: Path, manner: Manner, partial: bool) -> Verdict:
    """Fills the folder, and verifies it.

    Raises SoliError for sources that are not of the dataset, before anything is placed, and where another process fills the folder.
    """
    check_output(out, facts, sources)
    check_sources(sources)
    with alone(out):
        try:
            found, placed = gather(facts, sources, out, manner)
            extras = about_extras(found.extras)
        except SoliError:
            shutil.rmtree(out / WORK, ignore_errors=True)
            raise
        shutil.rmtree(out / WORK, ignore_errors=True)
        verdict = verify(out, look_below(out, facts), facts, partial)
    left = ", ".join(f"{what} ({number:,})" for what, number in [*found.others.items(), ("other files", found.ignored)] if number)
    verdict.notes[:0] = extras + ([f"Left alone: {left}."] if left else [])
    verdict.figures["placed"] = vars(placed)
    return verdict


def check_sources(sources: list[Path]) -> None:
    """Raises SoliError for one that is not there, or is seen to be damaged, before minutes are spent on others."""
    for source in sources:
        if not source.exists():
            raise SoliError(f"{source} does not exist (relative paths start at {Path.cwd()}).")
        if source.is_file() and kind_of(source) is not None:
            with open_archive(source, most_bytes=2**20):
                pass


def gather(facts: Facts, sources: list[Path], out: Path, manner: Manner) -> tuple[Found, Placed]:
    """Puts what the sources have into the folder. An interruption leaves what was unpacked for the next time."""
    found = look_below(out, facts)
    found.archives.clear()  # that lie in the output folder count only where they are given
    for source in sources:
        add(source, facts, out, found)
    photographs, texts = choose(found, facts, out, manner.size)
    check_texts(texts, facts)
    return found, place(photographs, texts, out, facts, manner)


def look_below(folder: Path, facts: Facts) -> Found:
    found = Found()
    for path in files_below(folder):
        look_at_file(path, facts, found)
    return found


def add(source: Path, facts: Facts, out: Path, found: Found) -> None:
    """Adds what a source has of the dataset. Raises SoliError where that is nothing."""
    own = Found()
    if source.is_dir():
        own = look_below(source, facts)
        for archive in own.archives:
            add_archive(archive, facts, out, own)
    elif kind_of(source) is not None:
        add_archive(source, facts, out, own)
    else:
        look_at_file(source, facts, own)
    if own.is_empty:
        others = f" It has {' and '.join(f'{what} ({number:,})' for what, number in own.others.items())}." if own.others else ""
        raise SoliError(f"{source} has nothing of {facts.title} that is known here.{others} Needed are {'; '.join(facts.where.values())}.")
    found.add(own)


def add_archive(archive: Path, facts: Facts, out: Path, found: Found) -> None:
    """Unpacks what an archive has of the dataset."""

    strangers = set()

    def wanted(name: str) -> bool:
        is_of_use = is_wanted(name, facts)
        if not is_of_use and name.lower().endswith(PHOTOGRAPHS) and not is_debris(name):
            strangers.add(name)
        return is_of_use

    stat = archive.stat()
    folder = out / WORK / f"{archive.stem}-{stat.st_size}-{stat.st_mtime_ns}"
    if not folder.exists():
        print(printable(f"Unpacking {archive.name} ..."), flush=True)
    unpack(archive, folder, wanted=wanted)
    for name in strangers:
        found.count_other(Path(name).name)
    for path in files_below(folder):
        look_at_file(path, facts, found)


if __name__ == "__main__":
    script(main)
