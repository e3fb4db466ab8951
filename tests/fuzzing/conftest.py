"""How many examples the fuzz tests ran, in the last lines that pytest prints of them."""

from __future__ import annotations

import pytest

from tests.fuzzing.strategies import COUNTED


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    before = COUNTED["examples"]
    yield
    item.user_properties.append(("examples", COUNTED["examples"] - before))  # travels with the report, from other processes too


def pytest_terminal_summary(terminalreporter):
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    counts = [count for report in reports for name, count in getattr(report, "user_properties", ()) if name == "examples"]
    if sum(counts):
        terminalreporter.write_line(f"fuzzing: {sum(counts):,} examples in {sum(map(bool, counts))} tests (SOLI_FUZZ=<n>: n times as many)")
