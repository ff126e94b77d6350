"""What a person's page says of a task, and what that means: sides are drawn for each task and person, and kept. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from concord.console import texts
from concord.kit.errors import InvalidInput
from concord.preference.seeded import uniform
from concord.v1 import pairs_pb2 as pairs
from concord.v1.tasks_service_pb2 import GivenAnswer

LEFT, RIGHT, TIE, BAD, SKIP = CHOICES = ("left", "right", "tie", "bad", "skip")
MOST_ANSWERS = 64
MOST_REASON = 2_000
MOST_SECONDS = 86_400.0
STRENGTHS = {"": pairs.STRENGTH_UNSPECIFIED, "slight": pairs.STRENGTH_SLIGHT, "much": pairs.STRENGTH_MUCH}
MARKS = {"": pairs.MARK_UNSPECIFIED, "yes": pairs.MARK_ACCEPTABLE, "no": pairs.MARK_NOT_ACCEPTABLE}
VIEWS = {"whole": pairs.VIEW_WHOLE, "differences": pairs.VIEW_DIFFERENCES}


def is_swapped(annotator: str, task_id: str) -> bool:
    """Whether the second response stands on the left for this person: for half of the tasks, each person's own half."""
    return uniform("shown", annotator, task_id) < 0.5


def given(said: Mapping[str, Any], annotator: str) -> list[GivenAnswer]:
    """The answers that a page sent, as the services take them. Raises InvalidInput."""
    answers = said.get("answers")
    if not isinstance(answers, list) or not 0 < len(answers) <= MOST_ANSWERS:
        raise InvalidInput(f"answers: a list of 1 to {MOST_ANSWERS} is expected")
    return [_given(one, annotator) for one in answers]


def named(said: Mapping[str, Any]) -> Sequence[str]:
    """The ids of tasks that a page sent. Raises InvalidInput."""
    ids = said.get("task_ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= MOST_ANSWERS or not all(isinstance(one, str) for one in ids):
        raise InvalidInput(f"task_ids: a list of 1 to {MOST_ANSWERS} ids is expected")
    return ids


def revision_of(said: Mapping[str, Any]) -> int:
    """The revision that a page means. Raises InvalidInput."""
    if "revision" not in said:
        raise InvalidInput("revision: which answer is meant is missing")
    return int(_number(said, "revision", 1, 2**31 - 1))


def _given(said: object, annotator: str) -> GivenAnswer:
    if not isinstance(said, dict):
        raise InvalidInput("answers: each is an object")
    task_id, choice = _word(said, "task_id", None), _word(said, "choice", CHOICES)
    swapped = is_swapped(annotator, task_id)
    answer = GivenAnswer(
        task_id=task_id,
        revision=revision_of(said),
        seconds=_number(said, "seconds", 0, MOST_SECONDS),
        view=VIEWS[_word(said, "view", VIEWS)],
        swapped=swapped,
    )
    reason = _text(said, "reason")
    if choice == SKIP:
        why = _word(said, "why", ("", *texts.SKIPS))
        answer.comment = ": ".join(filter(None, (why, reason)))
        answer.swapped, answer.view = False, pairs.VIEW_UNSPECIFIED
        return answer
    answer.comment = reason
    answer.choice = _choice(choice, swapped)
    left, right = MARKS[_word(said, "left_mark", MARKS)], MARKS[_word(said, "right_mark", MARKS)]
    if choice == BAD:
        left = right = pairs.MARK_NOT_ACCEPTABLE
    answer.first_mark, answer.second_mark = (right, left) if swapped else (left, right)
    if choice in (LEFT, RIGHT):
        answer.strength = STRENGTHS[_word(said, "strength", STRENGTHS)]
    return answer


def _choice(choice: str, swapped: bool) -> "pairs.Choice.ValueType":
    if choice in (TIE, BAD):
        return pairs.CHOICE_TIE
    return pairs.CHOICE_FIRST if (choice == LEFT) != swapped else pairs.CHOICE_SECOND


def _word(said: Mapping[str, Any], name: str, known: "Sequence[str] | Mapping[str, Any] | None") -> str:
    value = said.get(name, "")
    if not isinstance(value, str) or len(value) > 100 or (known is not None and value not in known):
        may = "a text" if known is None else "one of " + ", ".join(repr(one) for one in known)
        raise InvalidInput(f"{name}: {may} is expected")
    return value


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str) or len(value) > MOST_REASON:
        raise InvalidInput(f"{name}: a text of at most {MOST_REASON:,} characters is expected")
    # What no text of a fact can hold.
    return value.replace("\0", "").encode("utf-8", "replace").decode()


def _number(said: Mapping[str, Any], name: str, low: float, high: float) -> float:
    value = said.get(name, low)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"{name}: a number from {low:g} to {high:g} is expected")
    return value
