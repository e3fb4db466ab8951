"""Python reads this at its start, where the folder is in PYTHONPATH: Ctrl-C at the n-th module that is imported from Hydra on."""

import os
import signal
import sys

state = {"left": int(os.environ.get("INTERRUPT_AT_IMPORT", "0")), "begun": False}


def look(event, details):
    if event != "import":
        return
    state["begun"] = state["begun"] or details[0].startswith("hydra")
    if state["begun"] and state["left"] > 0:
        state["left"] -= 1
        if state["left"] == 0:
            os.kill(os.getpid(), signal.SIGINT)


if state["left"]:
    sys.addaudithook(look)
