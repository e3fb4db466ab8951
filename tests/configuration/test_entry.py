"""Where a command begins: Ctrl-C at any time is one word and the exit code 130."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from soli.configuration import entry, script
from soli.interfaces import SoliError

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


def test_a_script_ends_as_a_command_does(capsys):
    def fails(reason):
        raise reason

    ends = {
        lambda: None: (0, ""),
        lambda: 2: (2, ""),
        lambda: fails(SoliError("a\x1b is missing.")): (1, "error: a\\x1b is missing.\n"),
        lambda: fails(FileNotFoundError(2, "No such file", "b.txt")): (1, "error: b.txt: No such file. Check the path.\n"),
        lambda: fails(KeyboardInterrupt): (130, "Stopped: go on.\n"),
        lambda: sys.exit(3): (3, ""),
    }
    for main, expected in ends.items():
        with pytest.raises(SystemExit) as ended:
            script(main, "Stopped: go on.")
        assert (ended.value.code, capsys.readouterr().err) == expected
    with pytest.raises(LookupError):
        script(lambda: fails(LookupError("a bug")))
