"""JSON as files of rows hold it, read strictly: a key that stands twice is refused, for nobody knows which one was meant. PURE."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from concord.preference.pairs import BadRecord

# One element of a list may be this long; a line of JSON Lines likewise.
MAX_ELEMENT_CHARACTERS = 64_000_000
_CHUNK = 1 << 20
_BLANKS = re.compile(r"[ \t\r\n]*")


class _Twice(ValueError):
    """A key that stands twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _Twice(f"the key {twice[:60]!r} stands twice in one object")
    return held


_STRICT = json.JSONDecoder(object_pairs_hook=_once)
# Finds where a value ends that is not to be used.
_LENIENT = json.JSONDecoder(parse_int=str)


def decoded(text: str) -> Any:
    """The value that the text holds; raises BadRecord where it is no JSON, or says a thing twice."""
    try:
        return _STRICT.decode(text)
    except _Twice as error:
        raise BadRecord("duplicate key", str(error)) from None
    except RecursionError:
        raise BadRecord("broken JSON", "broken JSON: nested too deeply") from None
    except ValueError as error:
        raise BadRecord("broken JSON", f"broken JSON: {error}") from None


def elements(read: Callable[[int], str]) -> Iterator[Any]:
    """The elements of a list one by one, never more of it in memory than the longest takes.

    `read(n)`: up to about n more characters, "" at the end. An element that JSON reads but that says a thing twice is given as
    BadRecord. Raises ValueError where the text is no list.
    """
    window = _Window(read)
    if window.next() != "[":
        raise ValueError("no list")
    window.at += 1
    if window.next() != "]":
        while True:
            yield window.value()
            mark = window.next()
            window.at += 1
            if mark == "]":
                break
            if mark != ",":
                raise ValueError("a comma or a closing bracket is missing")
            window.next()
    else:
        window.at += 1
    if window.next():
        raise ValueError("something stands behind the end of the list")


class _Window:
    """The part of a long text that is looked at."""

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read, self._held, self.at = read, "", 0

    def next(self) -> str:
        """The next character that is no blank, which is where the window then stands; "" at the end."""
        while True:
            self.at = _BLANKS.match(self._held, self.at).end()  # type: ignore[union-attr]  # it always matches
            if self.at < len(self._held):
                return self._held[self.at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The value that begins here; the window then stands behind it."""
        while True:
            try:
                value, end = _STRICT.raw_decode(self._held, self.at)
            except json.JSONDecodeError:
                if len(self._held) - self.at > MAX_ELEMENT_CHARACTERS or not self._more():
                    raise
                continue
            except RecursionError:
                raise ValueError("nested too deeply") from None
            except ValueError as error:
                kind = "duplicate key" if isinstance(error, _Twice) else "broken JSON"
                value, end = BadRecord(kind, str(error)), self._end()
            length = end - self.at
            # A number at the window's edge may go on behind it.
            if end < len(self._held) or isinstance(value, dict | BadRecord) or not self._more():
                self.at += length
                return value

    def _end(self) -> int:
        while True:
            try:
                return _LENIENT.raw_decode(self._held, self.at)[1]
            except json.JSONDecodeError:
                if len(self._held) - self.at > MAX_ELEMENT_CHARACTERS or not self._more():
                    raise

    def _more(self) -> bool:
        """Takes more of the text in and forgets what lies behind; False at its end."""
        rest = self._held[self.at :]
        more = self._read(max(_CHUNK, len(rest)))
        self._held, self.at = rest + more, 0
        return bool(more)
