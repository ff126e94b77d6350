"""Where the rows of an input come from: one file or a folder of them, whatever the format, row by row."""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.client.intake import hub_layout, parquet
from concord.client.intake.text_lines import lines_of, opened, unreadable
from concord.kit.errors import InvalidInput

# A JSON list is read as a whole; JSON Lines are not.
MAX_LIST_BYTES = 1_000_000_000
_BROKEN_GZIP = (EOFError, zlib.error, gzip.BadGzipFile)
LINES, LIST, PARQUET, ARROW = "JSON Lines", "JSON list", "Parquet", "Arrow"


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
    """One row as it stands in a file: a line that nobody has looked at, or a record that its format has decoded."""

    number: int  # from 1, over all files
    file: Path
    at: int  # from 1, in its file
    raw: bytes = b""
    record: Any = None
    is_line: bool = True

    @property
    def place(self) -> str:
        """Where the row stands, as messages name it."""
        return f"{self.file}:{self.at}" if self.is_line else f"{self.file}, row {self.at}"

    @property
    def short(self) -> str:
        """The same where it is plain which file is meant."""
        return f"{'line' if self.is_line else 'row'} {self.at}"

    @property
    def shown(self) -> str:
        """The row as text, on one line."""
        if self.is_line:
            return self.raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
        return json.dumps(self.record, ensure_ascii=False, default=str)


def source_of(path: Path) -> Source:
    """What PATH means; raises InvalidInput where a folder holds nothing to read, or more than one thing."""
    if not path.is_dir():
        return Source(path, (path,))
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
    readers: Mapping[str, Callable[[Path], Any]] = {
        LIST: _list,
        PARQUET: parquet.parquet_rows,
        ARROW: parquet.arrow_rows,
    }
    for at, record in enumerate(readers[kind](file), start=1):
        yield Item(before + at, file, at, record=record, is_line=False)


def _kind_of(file: Path) -> str:
    """By the first bytes; the name only tells an Arrow stream, which has no magic ones, from a text."""
    try:
        with opened(file) as content:
            start = content.read(64)
    except _BROKEN_GZIP:
        return LINES  # whose reader says at which line it breaks
    except OSError as error:
        raise unreadable(file, error) from None
    if start.startswith(b"PAR1") or file.suffix == ".parquet":
        return PARQUET
    if start.startswith(b"ARROW1") or file.suffix == ".arrow":
        return ARROW
    return LIST if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"[") else LINES


def _list(file: Path) -> list[Any]:
    try:
        with opened(file) as content:
            raw = content.read(MAX_LIST_BYTES + 1)
        if len(raw) > MAX_LIST_BYTES:
            raise InvalidInput(f"{file}: a JSON list of over {MAX_LIST_BYTES:,} bytes; export it as JSON Lines instead")
        listed = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"{file}: broken JSON: it begins as a list, but is none: {why}") from None
    except _BROKEN_GZIP as error:
        raise InvalidInput(f"{file}: the gzip data are broken: {error}") from None
    except OSError as error:
        raise unreadable(file, error) from None
    return listed if isinstance(listed, list) else [listed]


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
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
