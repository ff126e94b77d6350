"""Where the rows of an input come from: one file or a folder of them, whatever the format, row by row."""

import codecs
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from concord.client.intake import delimited, documents, hub_layout, json_text, parquet
from concord.client.intake.formats.record import Decoded
from concord.client.intake.formats.table import FORMATS
from concord.client.intake.text_lines import BROKEN_GZIP, check_is_regular, lines_of, opened, unreadable
from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord

# A document that is no list is read as a whole; a list and JSON Lines are not.
MAX_DOCUMENT_BYTES = 256_000_000
# So much of a file tells what it is.
_START_BYTES = 1 << 20
# What people give by mistake, by its first bytes.
_OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive or a spreadsheet; unpack it, or save the sheet as CSV UTF-8",
    b"\xfd7zXZ\x00": "packed with xz; unpack it first (gzip is read as it is)",
    b"BZh": "packed with bzip2; unpack it first (gzip is read as it is)",
    b"\x28\xb5\x2f\xfd": "packed with zstd; unpack it first (gzip is read as it is)",
    b"SQLite format 3\x00": "an SQLite database; write the rows as JSON Lines or CSV",
    b"%PDF": "a PDF",
    b"\xff\xfe": "a text in UTF-16; save it as UTF-8",
    b"\xfe\xff": "a text in UTF-16; save it as UTF-8",
}
LINES, LIST, DOCUMENT, TABLE, PARQUET, ARROW = "JSON Lines", "JSON list", "JSON document", "table", "Parquet", "Arrow"


@dataclass(frozen=True)
class Source:
    """Files that together are one input."""

    path: Path
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()  # what was chosen of a folder, in words

    @property
    def sha256(self) -> str:
        """Hex: of a file's bytes as they lie on the disk, of a folder's file names and theirs."""
        if self.files == (self.path,):
            return _sha256(self.path)
        parts = "".join(f"{file.relative_to(self.path).as_posix()} {_sha256(file)}\n" for file in self.files)
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True)
class Item:
    """One row as it stands in a file: a line that nobody has looked at, or a record that its format has decoded (BadRecord
    where it could not be)."""

    number: int  # from 1, over all files
    file: Path
    at: int  # from 1, in its file
    raw: bytes = b""
    record: Any = None
    is_line: bool = True
    on_line: bool = False  # `at` is a line, though the record is decoded

    @property
    def place(self) -> str:
        """Where the row stands, as messages name it."""
        return f"{self.file}:{self.at}" if self.is_line or self.on_line else f"{self.file}, row {self.at}"

    @property
    def short(self) -> str:
        """The same where it is plain which file is meant."""
        return f"{'line' if self.is_line or self.on_line else 'row'} {self.at}"

    @property
    def shown(self) -> str:
        """The row as text, on one line."""
        if self.is_line:
            return self.raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
        return "" if isinstance(self.record, BadRecord) else json.dumps(self.record, ensure_ascii=False, default=str)


def source_of(path: Path) -> Source:
    """What PATH means; raises InvalidInput where a folder holds nothing to read, or more than one thing."""
    if not path.is_dir():
        return Source(path, (path,), _how(path))
    if (path / "dataset_dict.json").is_file():
        return _saved_splits(path)
    if (path / "state.json").is_file():
        return Source(path, _saved_files(path), ("a data set as `datasets` saves it",))
    names = [(Path(folder) / file).relative_to(path).as_posix() for folder, _, held in os.walk(path) for file in held]
    chosen = hub_layout.choose(names, str(path))
    return Source(path, tuple(path / name for name in chosen.files), (chosen.note,))


def items(source: Source) -> Iterator[Item]:
    """All rows in order; blank lines are no rows. Raises InvalidInput where a file cannot be read to its end."""
    before = 0
    for file in source.files:
        at = 0
        for item in _items(file, before):
            at = item.at
            yield item
        before += at


def _items(file: Path, before: int) -> Iterator[Item]:
    kind = _kind_of(file)
    if kind == LINES:
        for at, raw in lines_of(file):
            if raw.strip():
                yield Item(before + at, file, at, raw)
        return
    if kind == TABLE:
        for number, (line, row) in enumerate(delimited.table_rows(file, _delimiter(file)), start=1):
            yield Item(before + number, file, line, record=row, is_line=False, on_line=True)
        return
    readers: Mapping[str, Callable[[Path], Any]] = {
        LIST: _list,
        DOCUMENT: lambda file: _document(file)[0],
        PARQUET: parquet.parquet_rows,
        ARROW: parquet.arrow_rows,
    }
    for at, record in enumerate(readers[kind](file), start=1):
        yield Item(before + at, file, at, record=record, is_line=False)


def _how(file: Path) -> tuple[str, ...]:
    """How the rows lie in a file, where that is not plain."""
    if _kind_of(file) == DOCUMENT:
        return (said,) if (said := _document(file)[1]) else ()
    return ()


def _kind_of(file: Path) -> str:
    """By the first bytes; the name only tells an Arrow stream, which has no magic ones, and a table from a text."""
    start = _start(file)
    if start is None:
        return LINES  # whose reader says at which line it breaks
    if start.startswith(b"PAR1") or file.suffix == ".parquet":
        return PARQUET
    if start.startswith(b"ARROW1") or file.suffix == ".arrow":
        return ARROW
    if what := next((what for magic, what in _OTHER_KINDS.items() if start.startswith(magic)), ""):
        raise InvalidInput(f"{file}: is {what}")
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return LIST
    if text.startswith(b"{"):
        return DOCUMENT if _is_document(file, text) else LINES
    return TABLE if _delimiter(file, start) else LINES


def _start(file: Path) -> bytes | None:
    """The first bytes; None where the file is a broken archive."""
    try:
        with opened(file) as content:
            return content.read(_START_BYTES)
    except BROKEN_GZIP:
        return None
    except (OSError, ValueError) as error:
        raise unreadable(file, error) from None


def _delimiter(file: Path, start: bytes | None = None) -> str:
    """What stands between the cells of a table; "" for a file that is none."""
    first = ((start if start is not None else _start(file)) or b"").removeprefix(b"\xef\xbb\xbf").split(b"\n")[0]
    ending = file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix
    try:
        return delimited.delimiter_of(first.decode().rstrip("\r"), ending.lower()) or ""
    except UnicodeDecodeError:
        return delimited.ENDINGS.get(ending.lower(), "")


def _is_document(file: Path, start: bytes) -> bool:
    """Whether a file that begins with an object is one document: it goes on behind its first line, or holds the rows in it."""
    first, end, rest = start.partition(b"\n")
    try:
        held = json_text.decoded(first.decode())
    except (BadRecord, UnicodeDecodeError):
        # A line that ends in the middle of an object; a broken first line of many is for the reader of lines to name.
        return (len(start) >= _START_BYTES and not end) or _is_whole(file)
    if rest.strip() or not isinstance(held, dict):
        return False
    return len(start) < _START_BYTES and bool(documents.rows_in(held, _is_pair)[1])


def _is_whole(file: Path) -> bool:
    try:
        _document(file)
    except InvalidInput:
        return False
    return True


def _is_pair(row: Decoded) -> bool:
    return any(known.recognises(row) for known in FORMATS)


def _list(file: Path) -> Iterator[Any]:
    try:
        with opened(file) as content:
            yield from json_text.elements(_reading(content))
    except ValueError as error:
        raise InvalidInput(f"{file}: broken JSON: it begins as a list, but is none: {error}") from None
    except BROKEN_GZIP as error:
        raise InvalidInput(f"{file}: the gzip data are broken: {error}") from None
    except OSError as error:
        raise unreadable(file, error) from None


def _reading(content: BinaryIO) -> Callable[[int], str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()

    def read(size: int) -> str:
        # A part may end in the middle of a character, and then gives nothing yet.
        while raw := content.read(size):
            if text := decoder.decode(raw):
                return text
        return decoder.decode(b"", final=True)

    return read


def _document(file: Path) -> tuple[list[Any], str]:
    """The rows of a file that is one document, and how they were found. Raises InvalidInput."""
    try:
        with opened(file) as content:
            raw = content.read(MAX_DOCUMENT_BYTES + 1)
        if len(raw) > MAX_DOCUMENT_BYTES:
            raise InvalidInput(
                f"{file}: a JSON document of over {MAX_DOCUMENT_BYTES:,} bytes; write its rows as JSON Lines instead"
            )
        return documents.rows_in(_object(json_text.decoded(raw.decode("utf-8-sig"))), _is_pair)
    except (BadRecord, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: {error}") from None
    except BROKEN_GZIP as error:
        raise InvalidInput(f"{file}: the gzip data are broken: {error}") from None
    except OSError as error:
        raise unreadable(file, error) from None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _saved_splits(path: Path) -> Source:
    splits = _json(path / "dataset_dict.json").get("splits")
    names = [f"{split}/{split}-00000-of-00001.arrow" for split in splits] if isinstance(splits, list) else []
    chosen = hub_layout.choose(names, str(path))
    left_out = f"; left out: {', '.join(chosen.left_out)}" if chosen.left_out else ""
    files = _saved_files(path / chosen.files[0].partition("/")[0])
    return Source(path, files, (f"a data set as `datasets` saves it, split {chosen.split}{left_out}",))


def _saved_files(path: Path) -> tuple[Path, ...]:
    """The Arrow files of a saved data set, in the order that its state names them."""
    named = _json(path / "state.json").get("_data_files")
    names = [held.get("filename") for held in named if isinstance(held, dict)] if isinstance(named, list) else []
    # A name with a folder in it would read files that the user did not point at.
    plain = [name for name in names if isinstance(name, str) and Path(name).name == name]
    if not names or len(plain) < len(names):
        raise InvalidInput(f"{path / 'state.json'}: names no data files")
    return tuple(path / name for name in plain)


def _json(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path}: broken JSON: {error}") from None
    return held if isinstance(held, dict) else {}


def _sha256(path: Path) -> str:
    try:
        check_is_regular(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
