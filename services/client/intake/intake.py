"""Reads a user's file or folder: all of it is looked at before anything of it is used.

A row that cannot be used stops everything, with file, line and reason; or it is set aside in a file of its own.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from concord import sample
from concord.client.intake import sources, text_lines
from concord.client.intake.formats import canonical
from concord.client.intake.formats.record import Decoded, Record
from concord.client.intake.formats.table import FORMATS, Format, format_of, together
from concord.client.intake.rows import rows
from concord.client.intake.sources import Item, Source
from concord.client.intake.verdicts import CHOSEN, Judges, UnknownJudge, resolve_judges, verdicts_seen
from concord.kit.errors import InvalidInput
from concord.kit.files import whole
from concord.preference.pairs import BadRecord, Row, megabytes
from concord.v1 import pairs_pb2 as pb

_PROBLEMS_SHOWN = 10
# So much of a row that is set aside is kept beside the reason; the rest still stands in the user's file.
_KEPT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Input:
    """What a file or folder holds, read and checked."""

    name: str
    sha256: str  # hex, of the file's bytes as they lie on the disk; of a folder, see Source
    form: str
    rows: tuple[Row, ...]
    set_aside: Mapping[str, int] = field(default_factory=dict)  # reason -> rows that are not in `rows`
    judges: Mapping[str, int] = field(default_factory=dict)  # judge in the file -> rows with its usable verdict
    notes: tuple[str, ...] = ()  # how it was read, in words

    @property
    def rows_with_truth(self) -> int:
        """Rows for which the file knows what people say, ties included; without any, no accuracy is known."""
        return sum(row.truth is not None for row in self.rows)


@dataclass(frozen=True)
class _Problem:
    """One row that cannot be used."""

    item: Item
    kind: str
    reason: str


@dataclass(frozen=True)
class _Made:
    """What a row of the file gives."""

    rows: list[Row]
    form: Format  # of the file, so far
    record: Record


@dataclass
class _Checked:
    """What has been found so far."""

    rows: list[Row] = field(default_factory=list)
    problems: list[_Problem] = field(default_factory=list)
    form: Format | None = None  # None before the first good row
    split_up: int = 0  # records with more than two responses
    pairs_of_split: int = 0  # the pairs that they gave
    silent: list[str] = field(default_factory=list)  # answers of people that say nothing of a preference
    place_of: dict[str, str] = field(default_factory=dict)  # of each id


def read(path: str | Path, skip_bad: str | Path | None = None, formats: Sequence[Format] = FORMATS) -> Input:
    """Everything in a file of pairs or a folder of such files; which of `formats` it has is told by the content.

    JSON Lines, plain or gzipped, a JSON list, Parquet, Arrow; see `sources`. Rows that cannot be used are written to
    `skip_bad` as JSONL and counted, or raise InvalidInput where it is None. A file that cannot be read to its end raises
    InvalidInput in any case: nobody knows what is missing.
    """
    path = Path(path)
    if skip_bad is not None and Path(skip_bad).exists() and path.exists() and path.samefile(skip_bad):
        raise InvalidInput(f"{path}: rows cannot be set aside in the very file that they come from; name another one")
    source = sources.source_of(path)
    found = _checked(source, formats)
    if found.problems and skip_bad is None:
        raise InvalidInput(_refusal(path, found.problems, len(found.rows)))
    if found.form is None:
        raise InvalidInput(_refusal(path, found.problems, 0) if found.problems else f"{path}: the file has no rows")
    if found.problems:
        _write_set_aside(Path(skip_bad or ""), found.problems)
    made, counts = tuple(found.rows), Counter(problem.kind for problem in found.problems)
    name = path.name or path.resolve().name
    notes = (*source.notes, *_notes(found))
    return Input(name, source.sha256, found.form.name, made, dict(counts), verdicts_seen(made), notes)


def _notes(found: _Checked) -> list[str]:
    """What was made of the rows beyond reading them."""
    notes = []
    if found.split_up:
        notes.append(
            f"{found.split_up:,} prompts have more than two responses: they gave {found.pairs_of_split:,} pairs (all pairs of up "
            "to four responses, six of more)"
        )
    if found.silent:
        notes.append(
            f"in {len(found.silent):,} rows no answer says which response is better, such as {found.silent[0]!r}; they count as "
            "not labelled"
        )
    return notes


def read_sample() -> Input:
    """The bundled sample: a simulation, made anew each time, always the same."""
    text = sample.jsonl()
    records = (canonical.read_responses(json.loads(line)) for line in text.splitlines())
    made = tuple(row for number, record in enumerate(records, start=1) for row in rows(record, number))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Input(sample.SOURCE, sha256, canonical.RECORD, made, {}, verdicts_seen(made))


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
    used = [row.with_verdicts(judges.keys) for row in judged]
    if CHOSEN in judges.keys:
        used = [replace(row, truth=None, people=()) for row in used]
    set_aside = dict(given.set_aside)
    if missing := len(given.rows) - len(used):
        set_aside[f"no verdict of {judges.main}"] = missing
    return replace(given, rows=tuple(used), set_aside=set_aside), judges


def _is_judged(row: Row, judge: str) -> bool:
    verdict = row.verdict_of(judge)
    return verdict is not None and verdict.choice != pb.CHOICE_UNSPECIFIED


def _checked(source: Source, formats: Sequence[Format]) -> _Checked:
    """All rows, and what is wrong with the others; the first good row decides the form."""
    found = _Checked()
    for item in sources.items(source):
        try:
            made = _made(_object(item), item.number, found.form, formats)
            _check_are_new(made.rows, found.place_of)
        except BadRecord as error:
            found.problems.append(_Problem(item, error.kind, str(error)))
            continue
        except RecursionError:
            found.problems.append(_Problem(item, "broken JSON", "the values are nested too deeply"))
            continue
        _take(found, made, item.place if len(source.files) > 1 else item.short)
    return found


def _take(found: _Checked, made: _Made, place: str) -> None:
    found.form = made.form
    found.place_of |= {row.pair.pair_id: place for row in made.rows}
    found.rows += made.rows
    found.silent += [made.record.silent] if made.record.silent else []
    if made.record.has_many:
        found.split_up += 1
        found.pairs_of_split += len(made.rows)


def _made(decoded: Decoded, number: int, form: Format | None, formats: Sequence[Format]) -> _Made:
    """What a decoded row gives; `form` is the file's so far. Raises BadRecord."""
    own = format_of(decoded, formats)
    whole = together(form, own, formats)
    record = own.read(decoded)
    return _Made(rows(record, number), whole, record)


def _object(item: Item) -> Decoded:
    """The row as an object; raises BadRecord where it is none."""
    decoded = _decoded(item)
    if not isinstance(decoded, dict):
        raise BadRecord("not an object", "the row is JSON, but not an object {…}")
    return decoded


def _decoded(item: Item) -> object:
    """The row as its format decodes it; raises BadRecord where a line is none."""
    if not item.is_line:
        return item.record
    if len(item.raw) > text_lines.MAX_LINE_BYTES:
        raise BadRecord("line too long", f"the line has over {megabytes(text_lines.MAX_LINE_BYTES)}")
    try:
        return json.loads(item.raw.decode("utf-8-sig" if item.at == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecord("invalid UTF-8", f"invalid UTF-8 at byte {error.start + 1} of the line") from None
    except (ValueError, RecursionError) as error:
        raise BadRecord("broken JSON", f"broken JSON: {_explained(error, item.raw)}") from None


def _explained(error: Exception, raw: bytes) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if raw.strip() in (b"[", b"{"):
        return "an object must stand on one line (JSON Lines); this looks like one document over many lines"
    return str(error)


def _check_are_new(rows: Sequence[Row], place_of: Mapping[str, str]) -> None:
    for row in rows:
        if place := place_of.get(row.pair.pair_id):
            raise BadRecord("duplicate id", f"the id {row.pair.pair_id!r} stands in {place} already")


def _refusal(path: Path, problems: Sequence[_Problem], good: int) -> str:
    """What is wrong with the file, the first lines of it one by one."""
    shown = [f"{problem.item.place}: {problem.reason}" for problem in problems[:_PROBLEMS_SHOWN]]
    more = len(problems) - len(shown)
    if more:
        counts = ", ".join(f"{kind}: {count}" for kind, count in Counter(p.kind for p in problems).most_common())
        shown.append(f"… and {more} more ({counts})")
    total = len(problems) + good
    hint = "repair them, or set them aside with --skip-bad" if good else "there is nothing left to run on"
    return "\n".join([f"{path}: {len(problems)} of {total} rows cannot be used; {hint}", *shown])


def _write_set_aside(target: Path, problems: Sequence[_Problem]) -> None:
    """One JSON line for each problem: where, kind, reason, and the row as it stood, cut where it is long."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as unfinished, unfinished.open("w", encoding="utf-8") as file:
            for problem in problems:
                item = problem.item
                row = {"file": str(item.file), "line": item.at, "number": item.number, "kind": problem.kind}
                kept = {"reason": problem.reason, "row": item.shown[:_KEPT_CHARACTERS]}
                file.write(json.dumps({**row, **kept}, ensure_ascii=True) + "\n")
    except OSError as error:
        raise InvalidInput(f"{target}: the rows set aside cannot be written: {error.strerror or error}") from None
