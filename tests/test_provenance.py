"""Where numbers come from: equal runs give equal files, and a run folder tells its versions, its code and its data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import soli
from soli.interfaces import SoliError
from soli.provenance import code_commit, machine
from soli.training.checkpoint import load_checkpoint, read_progress
from soli.version import __version__
from tests.test_commands import SMALL, trained  # noqa: F401 - a fixture

REPOSITORY = Path(__file__).parents[1]
# Trains the runs of a JSON list, one after another, in one process: imports take longer than any of them.
TRAIN_ALL = """
import json, sys
from soli.train import main
for overrides in json.loads(sys.argv[1]):
    sys.argv = ["soli-train", *overrides]
    main()
"""
QUICK = [*SMALL, "variant.phases.caption.epochs=1", "validation.conditions=[original]"]
MATCHING = [
    *(override for override in SMALL if not override.startswith("variant.")),
    *("variant=par_matching", "epochs=1", "negatives=clustered", "negatives.num_clusters=4", "negatives.length=2"),
    *("matching.negatives.num_clusters=4", "matching.negatives.length=2"),
    *("matching=cmns", "text_encoder.word_dim=12", "text_encoder.hidden_dim=16", "joint.dim=16", "validation.conditions=[original]"),
]


def train_all(folder: Path, runs: dict[str, list[str]], **environment: str) -> None:
    """Trains runs/<name> in `folder`, each with its overrides, in one process of this environment."""
    folder.mkdir()
    listed = json.dumps([[*overrides, f"run_dir=runs/{name}"] for name, overrides in runs.items()])
    answer = subprocess.run(
        [sys.executable, "-c", TRAIN_ALL, listed],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr


def figures(folder: Path) -> list[dict]:
    """The log without the clock's."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def test_equal_runs_give_the_same_files_whatever_the_workers_and_the_order_of_hashes(tmp_path):
    """Whole files, as a user would compare them with cmp."""
    plain = {"workers_0": QUICK, "workers_1": [*QUICK, "runtime.workers=1"]}
    train_all(tmp_path / "a", {**plain, "matching": MATCHING}, PYTHONHASHSEED="0")
    train_all(tmp_path / "b", {"workers_2": [*QUICK, "runtime.workers=2"], "matching": MATCHING}, PYTHONHASHSEED="4242")
    first, matching = (tmp_path / "a" / "runs" / name for name in ("workers_0", "matching"))
    alike = {
        first: [tmp_path / "a" / "runs" / "workers_1", tmp_path / "b" / "runs" / "workers_2"],
        matching: [tmp_path / "b" / "runs" / "matching"],
    }
    for one, others in alike.items():
        for other in others:
            for name in ("last.safetensors", "best.safetensors", "vocabulary.json", "data.json"):
                assert (one / name).read_bytes() == (other / name).read_bytes(), (name, other)
            assert figures(one) == figures(other)
    assert (first / "last.safetensors").read_bytes() != (matching / "last.safetensors").read_bytes()


def test_a_run_folder_tells_its_versions_its_machine_and_its_code(trained):  # noqa: F811
    versions = json.loads((trained / "versions.json").read_text(encoding="utf-8"))
    assert versions["torch"] == torch.__version__.partition("+")[0] and versions["soli"] == __version__
    assert versions["threads"] == torch.get_num_threads() and versions["device"] == "cpu" and versions["processes"] == 1
    assert versions.keys() >= machine().keys()
    assert versions["code"] is None or len(versions["code"]["commit"]) == 40


def git(folder: Path, *command: str) -> str:
    """What git itself says, asked of a repository by its name."""
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    answer = subprocess.run(["git", "-C", str(folder), *identity, *command], env=environment, capture_output=True, text=True, check=True)
    return answer.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout of soli with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    return make_checkout(tmp_path / "checkout")


def make_checkout(folder: Path, name: str = "soli") -> Path:
    (folder / "soli").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n', encoding="utf-8")
    (folder / "soli" / "__init__.py").write_text("", encoding="utf-8")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Begin")
    return folder


def test_a_checkout_has_its_commit_and_says_whether_it_was_changed(checkout):
    head = git(checkout, "rev-parse", "HEAD")
    assert code_commit(checkout / "soli") == {"commit": head, "dirty": False}
    (checkout / "soli" / "new.py").write_text("1", encoding="utf-8")
    assert code_commit(checkout / "soli") == {"commit": head, "dirty": True}
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "New")
    (checkout / "soli" / "__init__.py").write_text("2", encoding="utf-8")
    assert code_commit(checkout / "soli") == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": True}


def test_a_worktree_has_its_own_commit(checkout, tmp_path):
    git(checkout, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "tree"))
    (tmp_path / "tree" / "soli" / "new.py").write_text("1", encoding="utf-8")
    git(tmp_path / "tree", "add", "--all")
    git(tmp_path / "tree", "commit", "--quiet", "--message", "New")
    assert code_commit(tmp_path / "tree" / "soli")["commit"] == git(tmp_path / "tree", "rev-parse", "HEAD")
    assert code_commit(checkout / "soli")["commit"] == git(checkout, "rev-parse", "HEAD")


def test_code_within_another_repository_has_no_commit(tmp_path, checkout):
    """Neither where site-packages lies in a repository, nor where a wheel was unpacked into its top folder, nor with a broken .git."""
    other = make_checkout(tmp_path / "other", name="other")
    assert code_commit(other / "soli") is None
    inside = other / ".venv" / "site-packages"
    shutil.copytree(checkout, inside, ignore=shutil.ignore_patterns(".git"))
    assert code_commit(inside / "soli") is None
    for broken in (
        lambda path: path.mkdir(),
        lambda path: path.write_text("gitdir: /nowhere", encoding="utf-8"),
        lambda path: path.touch(),
    ):
        broken(inside / ".git")
        assert code_commit(inside / "soli") is None
        shutil.rmtree(inside / ".git") if (inside / ".git").is_dir() else (inside / ".git").unlink()
    unpacked = make_checkout(tmp_path / "unpacked")
    git(unpacked, "rm", "--quiet", "--cached", "-r", "soli")
    git(unpacked, "commit", "--quiet", "--message", "Not tracked")
    assert code_commit(unpacked / "soli") is None


def test_a_hook_of_another_repository_does_not_lend_its_commit(checkout, tmp_path, monkeypatch):
    other = make_checkout(tmp_path / "other")
    (other / "soli" / "more.py").touch()
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    assert code_commit(checkout / "soli") == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": False}


def test_no_commit_and_no_error_without_git_without_commits_and_without_permission(checkout, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    head = code_commit(checkout / "soli")
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path / "bin"))
        assert code_commit(checkout / "soli") is None
    (tmp_path / "bin" / "git").write_text('#!/bin/sh\necho "fatal: detected dubious ownership in repository" >&2\nexit 128\n')
    (tmp_path / "bin" / "git").chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
        assert code_commit(checkout / "soli") is None
    assert code_commit(checkout / "soli") == head
    shutil.rmtree(checkout / ".git")
    git(checkout, "init", "--quiet")
    assert code_commit(checkout / "soli") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_user_has_no_commit(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # where a machine may allow all folders
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (checkout, checkout / ".git"):
        os.chown(path, 12345, 12345)
    assert code_commit(checkout / "soli") is None


def test_a_checkpoint_of_the_older_form_still_loads(trained, tmp_path):  # noqa: F811
    path = trained / "last.safetensors"
    with safe_open(path, "pt") as file:
        (entry,) = file.metadata().values()
    older = {name: json.dumps(value) for name, value in json.loads(entry).items()}
    assert older.keys() == {"progress", "settings", "checksum"}
    del older["checksum"]
    save_file(load_file(path), tmp_path / "older.safetensors", older)
    save_file(load_file(path), tmp_path / "oldest.safetensors", {"progress": older["progress"]})
    captioner = soli.load(trained)
    for name in ("older", "oldest"):
        assert load_checkpoint(tmp_path / f"{name}.safetensors", captioner) == read_progress(path)
    with pytest.raises(SoliError, match="other settings"):
        load_checkpoint(tmp_path / "older.safetensors", captioner, settings={"seed": 12})
