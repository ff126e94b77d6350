"""Prompts with any number of answers, as a file of JSON Lines has them: what the red team's commands read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concord.client.intake.json_text import decoded
from concord.client.intake.messages import messages_of, plain, prompt_of
from concord.client.intake.text_lines import lines_of
from concord.kit.errors import InvalidInput
from concord.preference.pairs import BadRecord, checked_text

_ANSWERS = ("responses", "answers", "completions")


@dataclass(frozen=True)
class Answered:
    """One prompt."""

    name: str  # its id, or row-N
    turns: tuple[Mapping[str, Any], ...]  # chat messages; the last is the user's
    answers: tuple[tuple[str, str], ...]  # (text, model); may be none
    harmful: bool | None  # whether it asks for harm; None: the row does not say

    @property
    def prompt(self) -> str:
        """The text of the last turn."""
        return str(self.turns[-1]["content"])


def read(path: str) -> Iterator[Answered]:
    """Row by row; a line that is no JSON is a prompt by itself. Raises InvalidInput, naming file and line."""
    for number, raw in lines_of(Path(path)):
        try:
            text = raw.decode().strip()
            if text:
                yield _answered(decoded(text) if text.startswith("{") else {"prompt": text}, number)
        except UnicodeDecodeError:
            raise InvalidInput(f"{path}:{number}: is not UTF-8; save the file as UTF-8") from None
        except BadRecord as error:
            raise InvalidInput(f"{path}:{number}: {error}") from None


def _answered(row: Mapping[str, Any], number: int) -> Answered:
    name = row.get("id", f"row-{number}")
    listed: Any = next((row[key] for key in _ANSWERS if row.get(key) is not None), [])
    if not isinstance(listed, list):
        raise BadRecord("missing response", f"`{_ANSWERS[0]}` is not a list")
    gold = row.get("gold")
    harmful = row.get("harmful", gold.get("harmful") if isinstance(gold, dict) else None)
    if harmful is not None and not isinstance(harmful, bool):
        raise BadRecord("broken mark", f"`harmful` is {str(harmful)[:40]!r}; true or false is expected")
    turns = tuple(map(plain, prompt_of(row.get("prompt"))))
    return Answered(str(name), turns, tuple(_answer(one, at) for at, one in enumerate(listed)), harmful)


def _answer(one: Any, at: int) -> tuple[str, str]:
    what = f"answer {at}"
    if isinstance(one, list):
        turns = messages_of(one, what)
        return turns[-1].content if turns else "", ""
    if isinstance(one, Mapping):
        return checked_text(one.get("text"), what, may_be_empty=True), str(one.get("model") or "")
    return checked_text(one, what, may_be_empty=True), ""
