"""What may be asked of the desk, and what is refused before anything is looked at. Pure."""

from collections.abc import Sequence

from concord.kit.errors import InvalidInput

MOST_NAME = 200
MOST_AT_ONCE = 64
MOST_LISTED = 200
MOST_ID = 36
# Of a task's number, which is an INTEGER in the table.
MOST_DIGITS = 10


def check_count(name: str, count: int) -> None:
    """Refuses none and too many."""
    if not 1 <= count <= MOST_AT_ONCE:
        raise InvalidInput(f"{name} is {count}; between 1 and {MOST_AT_ONCE} are taken at once")


def check_ids(task_ids: Sequence[str]) -> None:
    """Refuses more tasks than are taken at once, and what can be no task's id."""
    if len(task_ids) > MOST_AT_ONCE:
        raise InvalidInput(f"task_ids has {len(task_ids)} entries; at most {MOST_AT_ONCE} are taken at once")
    for task_id in task_ids:
        if len(task_id) > MOST_ID or "\0" in task_id:
            raise InvalidInput(f"task_ids: {task_id[:MOST_ID]!r} is no task's id")


def number(token: str) -> int:
    """The number of the last task that the page before held; -1: there was none."""
    if token and not (token.isascii() and token.isdigit() and len(token) < MOST_DIGITS):
        raise InvalidInput("page_token is not one of an answer before")
    return int(token or -1)


def check_annotator(name: str) -> None:
    """Refuses the empty name, and one that the table of leases has no room for."""
    if not name:
        raise InvalidInput("annotator is empty; a name is needed so that nobody gets a task twice")
    if len(name) > MOST_NAME:
        raise InvalidInput(f"annotator has {len(name)} characters; at most {MOST_NAME} are taken")
    if "\0" in name:
        raise InvalidInput("annotator holds a NUL character, which no database keeps; leave it out")
