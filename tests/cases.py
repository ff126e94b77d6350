"""Inputs after public reports and after attacks, which do not travel with the code."""

import os
from pathlib import Path

_DATA = os.environ.get("CONCORD_DATA")
FOLDER = Path(_DATA).parent / "cases" if _DATA else (Path(__file__).parents[1] / ".." / "shared" / "cases").resolve()


def present(folder: str) -> list[str]:
    """The names of these inputs, sorted; none where they are not beside this checkout: no test needs them."""
    return sorted(path.name for path in (FOLDER / folder).iterdir()) if (FOLDER / folder).is_dir() else []
