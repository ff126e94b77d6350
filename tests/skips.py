"""Tests that are skipped are counted and named on the last line, and where none may be skipped, one that is has failed.

A plugin of pytest's; `tests/conftest.py` registers it.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable

import pytest

# The environment variable that forbids skips where it is set, as in CI.
FORBIDDEN = "NO_SKIPS"


def line(skips: Iterable[tuple[str, str]]) -> str:
    """One line about (test's id, reason) pairs: how many there are, and for each reason in which files."""
    files: dict[str, Counter[str]] = {}
    for test, reason in skips:
        name = re.sub(r"^(?:.*/)?|\.py(?:::.*)?$", "", test)
        files.setdefault(plain(reason), Counter())[name] += 1
    total = sum(count for counts in files.values() for count in counts.values())
    if not total:
        return "0 tests were skipped"
    parts = [
        f"{', '.join(f'{name} ({count})' for name, count in sorted(counts.items()))}: {reason}"
        for reason, counts in files.items()
    ]
    return f"{total} test{' was' if total == 1 else 's were'} skipped: {'; '.join(parts)}"


def plain(reason: str) -> str:
    """Without the word that pytest puts before it."""
    return reason.removeprefix("Skipped: ")


def refused(test: str, reason: str) -> str:
    """What a skip says where it is a failure."""
    return f"{test} was skipped, and {FORBIDDEN} forbids it: {plain(reason)}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that is skipped where that is forbidden has failed."""
    report = yield
    if os.environ.get(FORBIDDEN) and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", refused(item.nodeid, report.longrepr[2])
    return report


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """Below all that pytest has to say; in a parallel session the workers say nothing."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is None or hasattr(config, "workerinput") or config.option.collectonly:
        return
    found = [(report.nodeid, report.longrepr[2]) for report in terminal.stats.get("skipped", ())]
    terminal.write_line(line(found))
