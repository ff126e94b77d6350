"""Versions of before, for the tests of upgrades: nothing is tagged before the first release, so commits stand for them."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.fleet import ROOT

# 0.1.0rc1: the last commit of the state that was handed in as a whole before the work on the release itself, `make release` in it.
# Once 0.1.0 is out its tag takes this place.
RELEASE_CANDIDATE = "a7cea7cc6f289234b15cdef3ac7ca17dc7eaacc6"
# The commit at which the contract got its names of today: the oldest that one may come from without folding anew.
OLDEST = "a35daa2a5043d25342136e5901e6eb7c307b0169"


def tree(commit: str, folder: Path) -> Path:
    """The commit's files below the folder. Raises RuntimeError where this clone does not have it."""
    made = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
    if made.returncode:
        raise RuntimeError(
            f"commit {commit} is not in this clone: {made.stderr.decode().strip()}. "
            "A shallow clone has it after `git fetch --unshallow`"
        )
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder
