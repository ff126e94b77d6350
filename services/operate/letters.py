"""Dead letters as the command names and tells them. Pure."""

from collections.abc import Sequence

from concord.kit.errors import InvalidInput, NotFound
from concord.kit.ids import unit_name
from concord.runs.dead_letters import Letter
from concord.v1.runs_service_pb2 import DeadLetterView

ALL = "all"


def chosen(letters: Sequence[Letter], names: Sequence[str]) -> list[Letter]:
    """The letters that these names mean; `all` means every one that was not put back. Raises NotFound, InvalidInput."""
    if ALL in names:
        return [letter for letter in letters if letter.back_at is None]
    known = {letter.name: letter for letter in letters}
    for name in names:
        partition, slash, offset = name.partition("/")
        if not (slash and partition.isdigit() and offset.isdigit()):
            raise InvalidInput(
                f"--requeue {name!r}: PARTITION/OFFSET as --dead-letters lists it, or `all`, is expected"
            )
        if name not in known:
            raise NotFound(f"--requeue {name}: there is no such dead letter; --dead-letters lists those there are")
    return [known[name] for name in dict.fromkeys(names)]


def line(letter: Letter, when: str) -> str:
    """One line of the list; `when` is its time in words."""
    said = letter.said
    unit = unit_name(letter.unit) if letter.unit is not None else "-"
    back = " · put back" if letter.back_at is not None else ""
    where = f"{said.topic} {said.partition}/{said.offset}"
    return f"{letter.name:>7}  {when}  {letter.run_id[:8] or '-':8}  {unit:14}  {where}  after {said.attempts}: {said.error}{back}"


def as_json(letter: Letter) -> dict[str, object]:
    """Plain values."""
    said = letter.said
    return {
        "letter": letter.name,
        "topic": said.topic,
        "partition": said.partition,
        "offset": said.offset,
        "run_id": letter.run_id,
        "unit": unit_name(letter.unit) if letter.unit is not None else "",
        "attempts": said.attempts,
        "error": said.error,
        "at": letter.at,
        "put_back_at": letter.back_at,
    }


def line_of_view(letter: DeadLetterView, run_id: str, when: str) -> str:
    """As `line`, of what a front door says: the service whose work it was in the place of the item's."""
    unit = unit_name(letter.unit) if letter.HasField("unit") else "-"
    back = " · put back" if letter.put_back_at else ""
    return f"{letter.name:>7}  {when}  {run_id[:8]}  {unit:14}  {letter.service}  after {letter.attempts}: {letter.error}{back}"


def view_as_json(letter: DeadLetterView, run_id: str) -> dict[str, object]:
    """Plain values, by the names that `as_json` has."""
    return {
        "letter": letter.name,
        "service": letter.service,
        "run_id": run_id,
        "unit": unit_name(letter.unit) if letter.HasField("unit") else "",
        "attempts": letter.attempts,
        "error": letter.error,
        "at": letter.at,
        "put_back_at": letter.put_back_at or None,
    }
