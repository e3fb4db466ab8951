"""The warm process: it has imported soli once, and forks a child for each training, which then begins in milliseconds.

Lines of JSON come in and go out: a training to begin {"arguments", "folder", "output", "inject", "plant", "program"} is answered with its
process id, {"modules": file} imports what that file names, {"compose": arguments} composes a command line's config, which children then
need not (it takes longer than the training), and of a training that has ended its id and status are told.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAUSE = 0.01  # seconds between two looks at what has ended


def serve() -> dict[str, Any] | None:
    """Answers requests until there are no more, then None; in the child of a training what was asked for."""
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    waiting, rest = set(), b""
    while True:
        if selector.select(PAUSE):
            received = os.read(0, 1 << 16)
            if not received:
                return None
            *lines, rest = (rest + received).split(b"\n")
            for request in map(json.loads, lines):
                if "modules" in request:
                    import_all(Path(request["modules"]))
                    tell(imported=True)
                elif "compose" in request:
                    compose(request["compose"])
                    tell(composed=True)
                elif child := os.fork():
                    waiting.add(child)
                    tell(started=child)
                else:
                    selector.close()
                    return request
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                waiting.discard(ended[0])
                tell(ended=ended[0], status=os.waitstatus_to_exitcode(ended[1]))


def tell(**content: object) -> None:
    os.write(1, json.dumps(content).encode() + b"\n")


def import_all(listing: Path) -> None:
    """Imports the modules that a training needed, so that later ones find them."""
    for name in listing.read_text(encoding="utf-8").split():
        with contextlib.suppress(BaseException), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)


def compose(arguments: list[str]) -> None:
    """Has the config of a command line made, and remembered."""
    from soli.configuration import command

    sys.argv = ["soli-train", *arguments]
    command("train", job="fault_check.nothing")()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # the children need not look through all that is here


def remember_configs() -> None:
    """A config that was composed before is given again; a child asks once."""
    from soli.configuration.loading import CheckedLoader

    load, known = CheckedLoader.load_configuration, {}

    def remembered(self: Any, config_name: str, overrides: list[str], *others: Any, **named: Any) -> Any:
        key = (config_name, *overrides)
        if key in known:
            return known[key]
        config = load(self, config_name, overrides, *others, **named)
        known[key] = copy.deepcopy(config)
        return config

    CheckedLoader.load_configuration = remembered


def become(request: dict[str, Any]) -> None:
    """This child is now what the request asks for: a session, a folder, outputs and a command line of its own."""
    os.setsid()
    os.chdir(request["folder"])
    for number, path in enumerate((os.devnull, f"{request['output']}.out", f"{request['output']}.err")):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["soli-train", *request["arguments"]]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["plant"]:
        runpy.run_path(request["plant"])
    from fault_check.injections import install

    install(request["inject"])


def leave(action: Callable[[], object]) -> None:
    """Ends the process with the action, as Python would, but for what it does last and longest: taking itself down."""
    code = 0
    try:
        action()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch
    import tqdm

    from soli.train import main

    importlib.import_module("soli.jobs.train")

    tqdm.tqdm.monitor_interval = 0  # its thread would not live on in the children
    torch.set_num_threads(1)
    remember_configs()
    tell(ready=True)
    request = serve()
    if request is not None:
        become(request)
        leave(main if not request["program"] else lambda: runpy.run_path(request["program"]))
