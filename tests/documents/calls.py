"""A documented command, word by word: its placeholders filled in, and what of the repository it calls."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from omegaconf import OmegaConf

from soli.configuration.folder import config_folder

# What a user is to put in, or has elsewhere; each is a file or folder of tests/documents/files.py, or a run. Longer ones come first.
PLACEHOLDERS = {
    "encoder.weights=<folder of the ViT-Tiny>": "encoder.weights=vit-tiny",
    "encoder.weights=<file or DEFAULT>": "encoder.weights=DEFAULT",
    "encoder.weights=<folder>": "encoder.weights=vit-tiny",
    "--cache <folder>": "--cache features",
    "<first node>": "localhost",
    "<flickr8k>": "data/flickr8k",
    "<glove.6B.50d.txt>": "data/glove/glove.6B.50d.txt",
    "<run>": "runs/toy",
    "=/shared/": "=shared/",
    " /disk/": " disk/",
}
OF_SOLI = ("soli-train", "soli-evaluate", "soli-caption", "soli-export")


@dataclass(frozen=True)
class Call:
    """`kind`: soli (a command, `name` is train or another), script (`name` is its path), make, torchrun (soli.train, `options` are those of
    torchrun) or code (`name` is what `python -c` runs). `variables` of the environment stand before the command.
    """

    kind: Literal["soli", "script", "make", "torchrun", "code"]
    name: str
    arguments: tuple[str, ...]
    options: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def overrides(self) -> list[str]:
        return [argument for argument in self.arguments if "=" in argument and not argument.startswith("-")]

    @property
    def makes_several(self) -> bool:
        """Whether it makes several jobs."""
        return "--multirun" in self.arguments or any(override.startswith("sweep=") for override in self.overrides)

    @property
    def here(self) -> list[str]:
        """The arguments as tests run them: without a GPU, one job after the other, and one seed of a sweep."""
        words = [word for word in self.arguments if word != "runtime=gpu"]
        if "--jobs" in words:
            place = words.index("--jobs")
            del words[place : place + 2]
        keys = {word.partition("=")[0] for word in words}
        return [*words, "seed=0"] if "sweep" in keys and "seed" not in keys else words


def read_call(text: str) -> Call:
    """Raises ValueError for a line that is no command known here."""
    words = _words(text)
    variables = tuple(itertools.takewhile(re.compile(r"[A-Z][A-Z_]*=").match, words))
    program, *arguments = words[len(variables) :] or [""]
    program = program.removeprefix(".venv/bin/").removeprefix("./")
    if program in ("python", "python3"):
        option, *rest = arguments or [""]
        if option == "-c":
            return Call("code", rest[0], tuple(rest[1:]), variables=variables)
        program, *arguments = [rest[0].replace("soli.", "soli-", 1), *rest[1:]] if option == "-m" else [option, *rest]
    if program in OF_SOLI:
        return Call("soli", program.removeprefix("soli-"), tuple(arguments), variables=variables)
    if program.startswith("scripts/"):
        return Call("script", program, tuple(arguments), variables=variables)
    if program == "make":
        return Call("make", " ".join(arguments), tuple(arguments), variables=variables)
    if program == "torchrun" and "soli.train" in arguments:
        place = arguments.index("soli.train")
        return Call("torchrun", "train", tuple(arguments[place + 1 :]), tuple(arguments[: place + 1]), variables)
    raise ValueError(f"{text}: no test knows a way to run this. Add one to tests/documents, or mark a block without commands as text.")


def jobs_of(overrides: Sequence[str], makes_several: bool) -> list[list[str]]:
    """The overrides of each job: of a sweep `seed=1,2` makes two, as `sweep=seeds` makes three where no seed is given."""
    if not makes_several:
        return [list(overrides)]
    values = dict(override.partition("=")[::2] for override in overrides)
    sweep = values.pop("sweep", None)
    params = OmegaConf.load(config_folder() / "sweep" / f"{sweep}.yaml").hydra.sweeper.params if sweep is not None else {}
    choices = [
        [f"{key}={value}"] if value.startswith(("[", "{", "'", '"')) else [f"{key}={one}" for one in value.split(",")]
        for key, value in {**params, **values}.items()
    ]
    return [list(job) for job in itertools.product(*choices)]


def _words(text: str) -> list[str]:
    """As a shell takes them apart, without the three dots that stand for more settings. Raises ValueError for what no test fills in."""
    for placeholder, meant in PLACEHOLDERS.items():
        text = text.replace(placeholder, meant)
    words = [word for word in shlex.split(text, comments=True) if word != "..."]
    if any(re.search(r"[<>]|(^|[=\[,:])/", word.replace("file://", "")) for word in words if " " not in word):
        raise ValueError(f"{text}: a placeholder or path that no test fills in. Add it to PLACEHOLDERS of tests/documents/calls.py.")
    return words
