"""Reads a user's file: all of it is looked at before anything of it is used.

A row that cannot be used stops everything, with file, line and reason; or it is set aside in a file of its own.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from concord.v1 import pairs_pb2 as pb
from services.kit.errors import InvalidInput
from services.preference import sample
from services.preference.pairs import BadRecord, Row, megabytes
from services.preference.records import RECORD, form_of, row_of, same_family
from services.preference.verdicts import CHOSEN, Judges, UnknownJudge, resolve_judges, verdicts_seen

MAX_LINE_BYTES = 64_000_000
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_PROBLEMS_SHOWN = 10
# So much of a row that is set aside is kept beside the reason; the rest still stands in the user's file.
_KEPT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Input:
    """What a file holds, read and checked."""

    name: str
    sha256: str  # hex, of the file's bytes as they lie on the disk
    form: str
    rows: tuple[Row, ...]
    set_aside: Mapping[str, int] = field(default_factory=dict)  # reason -> rows that are not in `rows`
    judges: Mapping[str, int] = field(default_factory=dict)  # judge in the file -> rows with its usable verdict

    @property
    def rows_with_truth(self) -> int:
        """Rows for which the file knows what people say, ties included; without any, no accuracy is known."""
        return sum(row.truth is not None for row in self.rows)


@dataclass(frozen=True)
class _Problem:
    """One row that cannot be used."""

    line: int  # from 1
    kind: str
    reason: str
    raw: bytes


def read(path: str | Path, skip_bad: str | Path | None = None) -> Input:
    """Everything in a JSONL file, plain or gzipped (told by its first bytes, not by its name).

    Rows that cannot be used are written to `skip_bad` as JSONL and counted, or raise InvalidInput where it is None. A
    file that cannot be read to its end raises InvalidInput in any case: nobody knows what is missing.
    """
    path = Path(path)
    if skip_bad is not None and Path(skip_bad).exists() and path.exists() and path.samefile(skip_bad):
        raise InvalidInput(f"{path}: rows cannot be set aside in the very file that they come from; name another one")
    rows, problems, form = _checked(path)
    if problems and skip_bad is None:
        raise InvalidInput(_refusal(path, problems, len(rows)))
    if not rows:
        raise InvalidInput(_refusal(path, problems, 0) if problems else f"{path}: the file has no rows")
    if problems:
        _write_set_aside(Path(skip_bad or ""), path, problems)
    counts = Counter(problem.kind for problem in problems)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Input(path.name, sha256, form, tuple(rows), dict(counts), verdicts_seen(tuple(rows)))


def read_sample() -> Input:
    """The bundled sample: a simulation, made anew each time, always the same."""
    lines = sample.jsonl()
    rows = tuple(row_of(json.loads(line), RECORD, at) for at, line in enumerate(lines.splitlines(), start=1))
    return Input(sample.SOURCE, hashlib.sha256(lines.encode()).hexdigest(), RECORD, rows, {}, verdicts_seen(rows))


def judged_by(given: Input, name: str, helpers: Sequence[str] = ()) -> tuple[Input, Judges]:
    """The rows on which the recorded judge `name` has a usable verdict, their pairs carrying the verdicts to be used.

    The other rows are counted in `set_aside`. Where the file's own choice serves as the judge (`chosen`), it no longer
    counts as truth: a label cannot vouch for itself. Raises InvalidInput for a name that the file does not hold.
    """
    try:
        judges = resolve_judges(name, tuple(helpers), given.judges)
    except UnknownJudge as error:
        raise InvalidInput(f"{given.name}: {error}") from None
    judged = [row for row in given.rows if _is_judged(row, judges.main)]
    rows = [row.with_verdicts(judges.keys) for row in judged]
    if CHOSEN in judges.keys:
        rows = [replace(row, truth=None, people=()) for row in rows]
    set_aside = dict(given.set_aside)
    if missing := len(given.rows) - len(rows):
        set_aside[f"no verdict of {judges.main}"] = missing
    return replace(given, rows=tuple(rows), set_aside=set_aside), judges


def _is_judged(row: Row, judge: str) -> bool:
    verdict = row.verdict_of(judge)
    return verdict is not None and verdict.choice != pb.CHOICE_UNSPECIFIED


def _checked(path: Path) -> tuple[list[Row], list[_Problem], str]:
    """Rows, problems and the form, which the first good row decides."""
    rows: list[Row] = []
    problems: list[_Problem] = []
    form, first_line_of_id = "", dict[str, int]()
    for number, raw in lines_of(path):
        if not raw.strip():
            continue
        try:
            row, row_form = _row(raw, number, form)
            _check_is_new(row.pair.pair_id, first_line_of_id)
        except BadRecord as error:
            problems.append(_Problem(number, error.kind, str(error), raw[:_KEPT_CHARACTERS]))
            continue
        # Labels may be absent from the first rows: a file that has any is a labelled one.
        form = row_form if not form or row_form == RECORD else form
        first_line_of_id[row.pair.pair_id] = number
        rows.append(row)
    return rows, problems, form


def _row(raw: bytes, number: int, form: str) -> tuple[Row, str]:
    """The row on this line and its form; `form` is the file's, "" before it is known. Raises BadRecord."""
    if len(raw) > MAX_LINE_BYTES:
        raise BadRecord("line too long", f"the line has over {megabytes(MAX_LINE_BYTES)}")
    try:
        record = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecord("invalid UTF-8", f"invalid UTF-8 at byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise BadRecord("broken JSON", f"broken JSON: {_explained(error, raw)}") from None
    found = form_of(record)
    if form and not same_family(found, form):
        raise BadRecord("another form", f"this row is {found}, but the file began as {form}")
    try:
        return row_of(record, found, number), found
    except RecursionError:
        raise BadRecord("broken JSON", "the values are nested too deeply") from None


def _explained(error: Exception, raw: bytes) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if raw.strip() in (b"[", b"{"):
        return "an object must stand on one line (JSON Lines); this looks like one document over many lines"
    return str(error)


def _check_is_new(pair_id: str, first_line_of_id: Mapping[str, int]) -> None:
    if pair_id in first_line_of_id:
        raise BadRecord("duplicate id", f"the id {pair_id!r} stands in line {first_line_of_id[pair_id]} already")


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and bytes of each line; of a line over MAX_LINE_BYTES just so many bytes and one more.

    Raises InvalidInput where the file cannot be opened or read to its end.
    """
    number = 0
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            for raw in _lines(gzip.GzipFile(fileobj=file) if is_gzip else file):
                number += 1
                yield number, raw
    except FileNotFoundError:
        raise InvalidInput(f"{path}: there is no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput(f"{path}:{number + 1}: the gzip data are broken behind line {number}: {error}") from None
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from None


def _lines(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while raw := file.readline(MAX_LINE_BYTES + 1):
        rest = raw
        while len(rest) and not rest.endswith(b"\n"):
            rest = file.readline(_CHUNK_BYTES)
        yield raw


def _refusal(path: Path, problems: Sequence[_Problem], good: int) -> str:
    """What is wrong with the file, the first lines of it one by one."""
    shown = [f"{path}:{problem.line}: {problem.reason}" for problem in problems[:_PROBLEMS_SHOWN]]
    more = len(problems) - len(shown)
    if more:
        counts = ", ".join(f"{kind}: {count}" for kind, count in Counter(p.kind for p in problems).most_common())
        shown.append(f"… and {more} more ({counts})")
    total = len(problems) + good
    hint = "repair them, or set them aside with --skip-bad" if good else "there is nothing left to run on"
    return "\n".join([f"{path}: {len(problems)} of {total} rows cannot be used; {hint}", *shown])


def _write_set_aside(target: Path, source: Path, problems: Sequence[_Problem]) -> None:
    """One JSON line for each problem: line, kind, reason, and the row as it stood, cut where it is long."""
    unfinished = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            for problem in problems:
                text = problem.raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
                row = {"file": str(source), "line": problem.line, "kind": problem.kind, "reason": problem.reason}
                file.write(json.dumps({**row, "row": text}, ensure_ascii=True) + "\n")
        os.replace(unfinished, target)
    except OSError as error:
        raise InvalidInput(f"{target}: the rows set aside cannot be written: {error.strerror or error}") from None
