"""The folder of a run's results on the caller's side, and what is remembered there: the services never see it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from concord.kit.errors import InvalidInput
from concord.v1.pairs_pb2 import Choice

TRUTH = "truth.json"


def folder(home: str, run_id: str, server: str = "") -> Path:
    """Where a run's results lie unless `--out` names another place; `home` is CONCORD_HOME.

    A run of the front door `server` has the id that the same command gives a run here: each has a folder of its own.
    """
    place = Path(home) / "servers" / re.sub(r"[^\w.]+", "-", server) if server else Path(home)
    return place / "runs" / run_id[:8]


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """The folder, made where it is not there; what cannot be written in it is told as the user's to mend.

    Where the block fails, folders that were made for it and are empty are gone again.
    """
    made = [place for place in (out, *out.parents) if not place.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        with suppress(OSError):
            for place in made:
                place.rmdir()
        if not isinstance(error, OSError):
            raise
        raise InvalidInput(
            f"{out}: the results cannot be written there: {error.strerror or error}; choose another folder with --out"
        ) from None


def remember(out: Path, run_id: str, truth: Mapping[int, "Choice.ValueType"]) -> None:
    """Keeps what people say, by the pair's index: a report can be made again. Raises InvalidInput."""
    said = {index: Choice.Name(choice) for index, choice in truth.items()}
    with writable(out):
        (out / TRUTH).write_text(json.dumps({"run_id": run_id, "truth": said}))


def remembered_truth(out: Path, run_id: str) -> Mapping[int, "Choice.ValueType"]:
    """What `remember` kept of this run; empty where nothing is."""
    try:
        kept = json.loads((out / TRUTH).read_text())
    except (OSError, ValueError):
        return {}
    return {int(i): Choice.Value(name) for i, name in kept["truth"].items()} if kept.get("run_id") == run_id else {}
