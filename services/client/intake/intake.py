"""Reads a user's file or folder: all of it is looked at before anything of it is used.

A row that cannot be used stops everything, with file, line and reason; or it is set aside in a file of its own. What was made
of the rows, and what in them is not used, is said.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from concord import sample
from concord.client.intake import duplicates, json_text, sources, text_lines
from concord.client.intake.account import Account
from concord.client.intake.formats import canonical, mapped, unpaired
from concord.client.intake.formats.record import Cells, Decoded, Record
from concord.client.intake.formats.table import FORMATS, Format, format_of, mapped_format, prompts_format, together
from concord.client.intake.messages import not_read
from concord.client.intake.needs import needed
from concord.client.intake.problems import Problems, printable
from concord.client.intake.rows import rows
from concord.client.intake.sources import Item, Source
from concord.client.intake.verdicts import CHOSEN, Judges, UnknownJudge, resolve_judges, verdicts_seen
from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord, Row, megabytes
from concord.v1 import pairs_pb2 as pb

# Neighbouring rows that are read together, of one prompt or of one task.
_MOST_TOGETHER = 200


@dataclass(frozen=True)
class Input:
    """What a file or folder holds, read and checked."""

    name: str
    sha256: (
        str  # hex, of the file's bytes as they lie on the disk; of a folder, see Source; with columns named, of both
    )
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
class _Unit:
    """What is read together: one row of the file, or neighbouring ones."""

    items: tuple[Item, ...]
    decoded: Decoded
    form: Format


@dataclass
class _Checked:
    """What has been found so far."""

    rows: list[Row] = field(default_factory=list)
    form: Format | None = None  # None before the first good row
    account: Account = field(default_factory=Account)
    place_of: dict[str, str] = field(default_factory=dict)  # of each id


def read(
    path: str | Path,
    skip_bad: str | Path | None = None,
    formats: Sequence[Format] = FORMATS,
    columns: str | Mapping[str, str] | None = None,
    contradictions: str = duplicates.TIE,
    prompts: bool = False,
) -> Input:
    """Everything in a file of pairs or a folder of such files; which of `formats` it has is told by the content.

    JSON Lines, plain or gzipped, JSON, CSV, TSV, Parquet, Arrow; see `sources`. `columns` says which column is what, see
    `mapped`: then no form is looked for. Rows that cannot be used are written to `skip_bad` as JSONL and counted, or raise
    InvalidInput where it is None. Rows of one pair whose labels contradict each other become ties, or with `contradictions`
    "aside" are left out and counted. With `prompts` each row is a prompt: a pair whose responses are empty. A file that cannot be
    read to its end raises InvalidInput in any case: nobody knows what is missing.
    """
    path, aside = Path(path), None if skip_bad is None else Path(skip_bad)
    _check_asked(path, aside, contradictions)
    named = mapped.columns_of(columns, prompts) if columns else None
    if prompts:
        formats = (prompts_format(named),)
    elif named:
        formats = (mapped_format(named),)
    source = sources.source_of(path)
    with Problems(path, aside) as problems:
        found = _checked(source, formats, problems)
        if problems.count and (aside is None or found.form is None):
            raise InvalidInput(problems.refusal(len(found.rows)))
    if found.form is None:
        raise InvalidInput(f"{path}: the file has no rows")
    made = duplicates.settled(found.rows, contradictions)
    set_aside = dict(problems.kinds) | ({duplicates.KIND: made.left_out} if made.left_out else {})
    if not made.rows:
        raise InvalidInput(f"{path}: all rows contradict each other; there is nothing left to run on")
    notes = tuple(map(printable, (*source.notes, *found.account.notes(), *duplicates.notes(made))))
    name = path.name or path.resolve().name
    sha256 = _sha256(source, named, contradictions)
    return Input(name, sha256, found.form.name, made.rows, set_aside, verdicts_seen(made.rows), notes)


def _check_asked(path: Path, aside: Path | None, contradictions: str) -> None:
    if contradictions not in duplicates.CONTRADICTIONS:
        raise InvalidInput(
            f"contradictions {contradictions!r}: one of {', '.join(duplicates.CONTRADICTIONS)} is expected"
        )
    try:
        if aside is not None and aside.exists() and path.exists() and path.samefile(aside):
            raise InvalidInput(
                f"{path}: rows cannot be set aside in the very file that they come from; name another one"
            )
    except (OSError, ValueError) as error:
        raise text_lines.unreadable(path, error) from None


def _sha256(source: Source, named: mapped.Columns | None, contradictions: str) -> str:
    """What names the input: another reading of the same file is another input."""
    said = (named.text if named else "", contradictions if contradictions != duplicates.TIE else "")
    if said == ("", ""):
        return source.sha256
    return hashlib.sha256("\0".join(("concord-read-as", source.sha256, *said)).encode()).hexdigest()


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


def _checked(source: Source, formats: Sequence[Format], problems: Problems) -> _Checked:
    """All rows, and what is wrong with the others; the first good row decides the form."""
    found = _Checked()
    for unit in _units(source, formats, problems, found):
        try:
            _take(found, unit, formats, len(source.files) > 1)
        except BadRecord as error:
            for item in unit.items:
                problems.add(item, error, len(found.rows))
    return found


def _units(source: Source, formats: Sequence[Format], problems: Problems, found: _Checked) -> Iterator[_Unit]:
    """The file's rows with their forms, neighbouring ones put together where their form asks for it."""
    held: list[tuple[Item, Decoded]] = []
    form, key = None, None
    for item in sources.items(source):
        try:
            decoded = _object(item)
            unpaired.check_media(decoded)
            own = format_of(decoded, formats)
            its_key = own.key(decoded) if own.key else None
        except BadRecord as error:
            problems.add(item, error, len(found.rows))
            continue
        if form and held and (own != form or its_key is None or its_key != key or len(held) == _MOST_TOGETHER):
            yield _gathered(held, form)
            held = []
        if own.key is None:
            yield _Unit((item,), decoded, own)
            continue
        form, key = own, its_key
        held.append((item, decoded))
    if form and held:
        yield _gathered(held, form)


def _gathered(held: Sequence[tuple[Item, Decoded]], form: Format) -> _Unit:
    return _Unit(tuple(item for item, _ in held), {"rows": [decoded for _, decoded in held]}, form)


def _take(found: _Checked, unit: _Unit, formats: Sequence[Format], many_files: bool) -> None:
    """Reads a unit and keeps what it gives. Raises BadRecord, and then keeps nothing."""
    form = together(found.form, unit.form, formats)
    item = unit.items[0]
    cells, record = _read(unit)
    made = rows(record, item.number)
    needs = needed(cells)
    for row in made:
        row.pair.needs.extend(needs)
    _check_are_new(made, found.place_of)
    place = item.place if many_files else item.short
    found.form = form
    found.place_of |= {row.pair.pair_id: place for row in made}
    found.rows += made
    found.account.add(record, _not_used(cells), len(made))


def _not_used(read: Sequence[Cells]) -> list[str]:
    """Columns that nobody read, and what nobody read of the messages in the others."""
    columns = [name for cells in read for name in cells.not_used]
    return columns + [
        f"{name}[].{key}" for cells in read for name in cells if name not in columns for key in not_read(cells[name])
    ]


def _read(unit: _Unit) -> tuple[list[Cells], Record]:
    try:
        if unit.form.key is None:
            cells = Cells(unit.decoded)
            return [cells], unit.form.read(cells)
        together = [Cells(row) for row in unit.decoded["rows"]]
        return together, unit.form.read({"rows": together})
    except RecursionError:
        raise BadRecord("broken JSON", "the values are nested too deeply") from None


def _object(item: Item) -> Decoded:
    """The row as an object; raises BadRecord where it is none."""
    decoded = _decoded(item)
    if isinstance(decoded, BadRecord):
        raise decoded
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
        return json_text.decoded(item.raw.decode("utf-8-sig" if item.at == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise BadRecord("invalid UTF-8", f"invalid UTF-8 at byte {error.start + 1} of the line") from None
    except BadRecord as error:
        if item.raw.strip() in (b"[", b"{"):
            raise BadRecord(
                "broken JSON",
                "broken JSON: an object must stand on one line (JSON Lines); this looks like one document over many lines",
            ) from None
        raise error


def _check_are_new(rows: Sequence[Row], place_of: Mapping[str, str]) -> None:
    for row in rows:
        if place := place_of.get(row.pair.pair_id):
            raise BadRecord("duplicate id", f"the id {row.pair.pair_id!r} stands in {place} already")
