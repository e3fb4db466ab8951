"""soli/runs.py: what is said of a precision that the processor imitates, and of threads on a machine that others use too."""

import os
import platform

import pytest
import torch

from soli.runs import runtime_settings


@pytest.mark.parametrize(
    ("machine", "capability", "precision", "warned"),
    [
        ("x86_64", "AVX2", "bf16", True),
        ("AMD64", "DEFAULT", "bf16", True),
        ("x86_64", "AVX512", "bf16", False),
        ("aarch64", "DEFAULT", "bf16", False),
        ("x86_64", "AVX2", "fp32", False),
    ],
)
def test_a_slow_precision_is_said(machine, capability, precision, warned, monkeypatch, capsys):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert runtime_settings({"runtime": {"device": "cpu", "precision": precision}}).precision == precision
    captured = capsys.readouterr()
    assert captured.out == "" and ("runtime.precision=fp32" in captured.err) == warned


@pytest.mark.parametrize(("load", "threads", "warned"), [(6.0, 2, True), (2.5, 2, False), (6.0, 1, False)])
def test_threads_on_a_busy_machine_are_said(load, threads, warned, monkeypatch, capsys):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert runtime_settings({"runtime": {"device": "cpu"}}).threads is None
    assert ("runtime.threads=1" in capsys.readouterr().err) == warned
