"""What a run's records say: its events, each once, in the order of the log. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from concord.kit.log import Record
from concord.v1.events_pb2 import Event


@dataclass(frozen=True)
class Fact:
    """An event with its place and time in the log."""

    event: Event
    offset: int
    at: float

    @property
    def kind(self) -> str:
        return self.event.WhichOneof("kind") or "unknown"


def facts(found: Iterable[Record]) -> list[Fact]:
    """The records' events with place and time, duplicates left out; what does not decode ends it, as it ends the fold."""
    seen: set[str] = set()
    out: list[Fact] = []
    for record in found:
        try:
            event = Event.FromString(record.value)
        except DecodeError:
            return out
        if event.event_id not in seen:
            seen.add(event.event_id)
            out.append(Fact(event, record.offset, record.at))
    return out


def events_of(found: Iterable[Record]) -> list[tuple[Event, float]]:
    """The records' events and their append times, duplicates left out."""
    return [(fact.event, fact.at) for fact in facts(found)]
