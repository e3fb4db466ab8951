"""What a reader may type: the commands, Python examples and printed tables of README.md and the other documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
OURS = re.compile(r"([A-Z][A-Z_]*=\S* )*(\.venv/bin/)?(python3? |torchrun |make\b|soli-\w|(\./)?scripts/\S+\.(sh|py)\b)")
# Others, which are noticed in blocks: there is no way to run them, and that is said.
FOREIGN = re.compile(
    r"(\$|\.|\S*/bin/\S+|pip3?|git|cd|export|source|srun|sbatch|accelerate|docker|conda|uv|jupyter|bash|sh|curl|wget|tar|unzip|mkdir|cp|"
    r"pytest|ruff) "
)
FENCE = re.compile(r"^( *)```+ *(\S*)[^\n]*\n(.*?)^\1```+ *$", flags=re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PYTHON, PLAIN = "python", ("", "text")
NO_COMMANDS = (PYTHON, *PLAIN)


@dataclass(frozen=True)
class Passage:
    """A part of a document, with the line at which it stands."""

    document: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line} {' '.join(self.text.split())[:70]}"


def documents() -> dict[str, str]:
    """The text of each document by its path in the repository."""
    paths = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "data" / "README.md"]  # users have more in data/
    paths += sorted((REPOSITORY / "docs").rglob("*.md"))
    return {path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def commands_of(document: str, text: str) -> list[Passage]:
    """The commands of a document: the lines of its blocks of commands, and ours between backticks in its text.

    A block without a language is one of commands where one of its lines begins with a program; one in a language of which nothing is known
    here is taken for commands too, so that somebody says how it is checked.
    """
    found = []
    for language, block in _blocks(document, text):
        lines = block.text.splitlines()
        if language not in NO_COMMANDS or (not language and any(OURS.match(line) or FOREIGN.match(line) for line in lines)):
            found += _lines(block)
    return found + [span for span in spans(document, text) if OURS.match(span.text) and (" " in span.text or "scripts/" in span.text)]


def spans(document: str, text: str) -> list[Passage]:
    """What stands between backticks outside of blocks."""
    prose = FENCE.sub(lambda block: "\n" * block[0].count("\n"), text)
    return [Passage(document, prose[: span.start()].count("\n") + 1, " ".join(span[1].split())) for span in SPAN.finditer(prose)]


def all_commands() -> list[Passage]:
    return [command for document, text in documents().items() for command in commands_of(document, text)]


def python_examples(document: str, text: str) -> list[Passage]:
    return [block for language, block in _blocks(document, text) if language == PYTHON]


def printed_tables() -> list[Passage]:
    """Tables of scores as soli.evaluate prints them: a line of columns, a line of dashes, a line for each condition."""
    blocks = [block for document, text in documents().items() for block in _blocks(document, text)]
    return [block for language, block in blocks if language in PLAIN and re.match(r"condition +pixels .*\n-+ ", block.text)]


def _blocks(document: str, text: str) -> list[tuple[str, Passage]]:
    """The fenced blocks with their languages."""
    return [(found[2], Passage(document, text[: found.start(3)].count("\n") + 1, found[3])) for found in FENCE.finditer(text)]


def _lines(block: Passage) -> list[Passage]:
    """The commands of a block, those that go on after a backslash in one piece."""
    found, whole = [], ""
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        if whole and not whole.startswith("#"):
            found.append(Passage(block.document, number, whole))
        whole = ""
    return found
