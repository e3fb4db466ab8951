"""soli/runs.py: what a precision costs on a processor that imitates it."""

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
