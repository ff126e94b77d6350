"""An answer's text as what it holds: words, reasoning, calls of tools and what these gave back. Pure.

Intake writes what of a message is no plain text into tags (`services/client/intake/chat_text.py`); here they are read again.
"""

import json
import re
from dataclasses import dataclass

WORDS, THOUGHT, CALL, RESULT, TOOLS = KINDS = ("words", "thought", "call", "result", "tools")
_TAGS = {"think": THOUGHT, "tool_call": CALL, "tool_response": RESULT, "tools": TOOLS}
_TAGGED = re.compile(r"^<(think|tool_call|tool_response|tools)>\n(.*?)\n</\1>$", re.M | re.S)
# Control characters, and what turns the direction of a text so that it reads as another one.
_UNWELCOME = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


@dataclass(frozen=True)
class Piece:
    """One part of a message: its kind, of a call the tool's name, and its text."""

    kind: str
    text: str
    name: str = ""


def visible(text: str) -> str:
    """The text with what could not be seen, or would make it read otherwise, replaced by a mark that can."""
    return _UNWELCOME.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def pieces(text: str) -> list[Piece]:
    """The parts in their order; a text without any of the tags is one part."""
    found: list[Piece] = []
    at = 0
    for tagged in _TAGGED.finditer(text):
        found += _words(text[at : tagged.start()])
        found.append(_tagged(_TAGS[tagged[1]], tagged[2]))
        at = tagged.end()
    return [*found, *_words(text[at:])]


def _words(text: str) -> list[Piece]:
    return [Piece(WORDS, text.strip("\n"))] if text.strip() else []


def _tagged(kind: str, text: str) -> Piece:
    if kind != CALL:
        return Piece(kind, text)
    try:
        held = json.loads(text)
        return Piece(CALL, json.dumps(held["arguments"], indent=2, ensure_ascii=False), str(held["name"]))
    except (ValueError, TypeError, LookupError, RecursionError):
        return Piece(CALL, text)
