"""Questions as lines of a file, and their answers as lines of the same: JSON Lines, one task and annotator a line."""

import json
from collections.abc import Mapping
from pathlib import Path

from concord.client.elsewhere.held import Answer
from concord.client.intake.text_lines import lines_of
from concord.client.run.answers import choice_of, mark
from concord.kit.errors import InvalidInput
from concord.v1.tasks_service_pb2 import Task

MOST_ID = 36
MOST_NAME = 200
MOST_SECONDS = 1e9


def line_of(task: Task, annotator: str) -> str:
    """The question as one line. Nothing of any verdict is in it; `choice` is what the annotator fills in."""
    pair = task.pair
    said = {
        "task_id": task.task_id,
        "annotator": annotator,
        "revision": task.revision,
        "prompt": [{"role": message.role, "content": message.content} for message in pair.prompt],
        "first": pair.first.text,
        "second": pair.second.text,
        "criteria": task.criteria,
        "choice": None,
    }
    return json.dumps(said, ensure_ascii=False) + "\n"


def read(path: Path, annotator: str) -> list[Answer]:
    """The answers in a file: `task_id`, `choice` (none: not answered yet), `annotator` where it is not the given one, and if
    wanted `revision`, `seconds`, `comment`, `first_acceptable`, `second_acceptable`; other keys are passed over.

    Raises InvalidInput with file and line.
    """
    found: dict[tuple[str, str], Answer] = {}
    for number, raw in lines_of(path):
        if not raw.strip():
            continue
        place = f"{path}:{number}"
        try:
            answer = answer_of(_object(raw), annotator, place)
        except ValueError as error:
            raise InvalidInput(f"{place}: {error}") from None
        key = (answer.task_id, answer.annotator)
        if key in found:
            raise InvalidInput(
                f"{place}: task {answer.task_id} is answered as {answer.annotator!r} here and in {found[key].place}; leave one out"
            )
        found[key] = answer
    return list(found.values())


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        said = json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"broken JSON: {str(error)[:200]}") from None
    if not isinstance(said, Mapping):
        raise ValueError("a line must be an object, as `concord tasks export` writes it")
    return said


def answer_of(said: Mapping[str, object], annotator: str, place: str) -> Answer:
    """The answer that a line is; raises ValueError with a reason fit for the user."""
    name, who = said.get("task_id"), said.get("annotator") or annotator
    if not isinstance(name, str) or not 0 < len(name) <= MOST_ID or "\0" in name:
        raise ValueError("no `task_id`, as `concord tasks export` writes it")
    if not isinstance(who, str) or not who.strip() or len(who) > MOST_NAME or "\0" in who:
        raise ValueError(f"`annotator` must be a name of at most {MOST_NAME} characters")
    choice = said.get("choice")
    return Answer(
        name,
        who.strip(),
        None if choice in (None, "") else choice_of(choice),
        int(_number(said, "revision", 1_000_000)),
        (mark(said, "first_acceptable"), mark(said, "second_acceptable")),
        _number(said, "seconds", MOST_SECONDS),
        _text(said, "comment"),
        place=place,
    )


def _number(said: Mapping[str, object], name: str, most: float) -> float:
    value = said.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"`{name}` must be a number from 0 to {most:,.0f}, or left out")
    return value


def _text(said: Mapping[str, object], name: str) -> str:
    value = "" if said.get(name) is None else said[name]
    if not isinstance(value, str):
        raise ValueError(f"`{name}` must be a text, or left out")
    return value[:2_000]
