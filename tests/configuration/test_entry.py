"""Where a command begins: Ctrl-C at any time is one word and the exit code 130."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from soli.configuration import entry

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("module", [1, 300, 1500])
def test_ctrl_c_amid_imports_is_one_word(tmp_path, module):
    """At the n-th module that is imported from Hydra on: one of Hydra's, of PyTorch's, of ours."""
    paths = [str(REPOSITORY / "scripts" / "fault_check" / "startup"), str(REPOSITORY)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "INTERRUPT_AT_IMPORT": str(module), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "soli.train", "runtime=smoke", f"run_dir={tmp_path / 'run'}"]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (answer.returncode, answer.stderr, list(tmp_path.iterdir())) == (130, "Interrupted.\n", [])


def test_what_answers_ctrl_c_elsewhere_is_left_as_it_is(monkeypatch):
    handlers = []
    monkeypatch.setattr(entry.signal, "getsignal", lambda _: entry.signal.SIG_IGN)
    monkeypatch.setattr(entry.signal, "signal", lambda *given: handlers.append(given))
    with entry.ending_at_once():
        pass
    assert handlers == []
