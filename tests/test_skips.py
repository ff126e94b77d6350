"""What is skipped is counted, named, and forbidden where that is asked."""

import os
import subprocess
import sys
from pathlib import Path

from tests import skips

ROOT = Path(__file__).parent.parent
JARS = "Kafka's jars come by Maven"


def test_the_line_counts_and_names_the_files_for_each_reason():
    found = [
        ("tests/test_log.py::test_a[kafka]", f"Skipped: {JARS}"),
        ("tests/test_log.py::test_b[kafka]", f"Skipped: {JARS}"),
        ("tests/test_ready.py::test_c", f"Skipped: {JARS}"),
        ("tests/test_blobs.py::test_d", "Skipped: no S3"),
    ]
    assert skips.line(found) == f"4 tests were skipped: test_log (2), test_ready (1): {JARS}; test_blobs (1): no S3"
    assert skips.line(found[:1]).startswith("1 test was skipped: test_log (1)")
    assert skips.line([]) == "0 tests were skipped"


def one_that_is_skipped(folder: Path, *words: str, forbidden: str) -> str:
    """What pytest says about a file of a passing and a skipped test."""
    (folder / "test_two.py").write_text("""
import pytest
def test_one(): pass
def test_two(): pytest.skip("there is no broker")
""")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", *words, str(folder)]
    given = os.environ | {"PYTHONPATH": str(ROOT), skips.FORBIDDEN: forbidden}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True).stdout


def test_a_skip_is_named_on_the_last_line(tmp_path):
    said = one_that_is_skipped(tmp_path, forbidden="").splitlines()
    assert said[-2].startswith("1 passed, 1 skipped")
    assert said[-1] == "1 test was skipped: test_two (1): there is no broker"


def test_a_skip_is_a_failure_where_it_is_forbidden(tmp_path):
    said = one_that_is_skipped(tmp_path, forbidden="1")
    assert "1 failed, 1 passed" in said and "0 tests were skipped" in said
    assert f"test_two was skipped, and {skips.FORBIDDEN} forbids it: there is no broker" in said


def test_the_workers_of_a_parallel_session_leave_the_last_line_to_the_process_that_controls_them(tmp_path):
    said = one_that_is_skipped(tmp_path, "-n", "2", forbidden="")
    assert said.count("skipped: test_two (1)") == 1 and said.splitlines()[-1].startswith("1 test was skipped")
