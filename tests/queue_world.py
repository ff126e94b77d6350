"""One run's queue folded in memory: answers go in, resolutions come out."""

from concord.kit.ids import event_id, run_id, unit_name
from concord.kit.loop.fold import Context
from concord.tasks import queue
from concord.tasks.queue import TasksState
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event, Stage, Unit
from concord.v1.pairs_pb2 import Choice

RUN = run_id("input", b"queue")
FIRST, SECOND, TIE = Choice.CHOICE_FIRST, Choice.CHOICE_SECOND, Choice.CHOICE_TIE
PAIRS = (40, 7, 99)


def opened(
    quorum: int = 2,
    deadline_s: float = 0.0,
    pairs: tuple[int, ...] = PAIRS,
    again: tuple[bool, ...] = (),
    most_votes: int = 0,
    run: str = RUN,
) -> TasksState:
    """A run that asks about these pairs since second 100, and one person more about those of `again`."""
    config = RunConfig(quorum=quorum, annotation_deadline_s=deadline_s, most_votes=most_votes)
    return hear(
        queue.initial(run),
        Event(run_id=run, run_created={"config": config}),
        Event(run_id=run, run_started={"pairs_uri": "pairs"}),
        Event(
            run_id=run,
            stage_opened={"stage": Stage.STAGE_ANNOTATE, "round": 1, "pair_indexes": pairs, "re_ask": again},
        ),
    )


def hear(state: TasksState, *events: Event, at: float = 100.0) -> TasksState:
    return queue.evolve(state, [(event, at) for event in events])[0]


def due(state: TasksState, now: float = 101.0) -> list[Event]:
    return [say.event for say in queue.due(state, Context(now, {}, 0, ""))]


def unit(number: int, round_: int = 1) -> Unit:
    return Unit(stage=Stage.STAGE_ANNOTATE, round=round_, number=number)


def _named(number: int, name: str, round_: int, **kind: object) -> Event:
    own = event_id(RUN, name, unit_name(unit(number, round_)))
    return Event(event_id=own, run_id=RUN, unit=unit(number, round_), **kind)


def judged(number: int, who: str, vote: int, choice: int = FIRST, revision: int = 1, round_: int = 1, pair: int = -1):
    said = {
        "pair_index": PAIRS[number] if pair < 0 else pair,
        "annotator": who,
        "vote": vote,
        "revision": revision,
        "choice": choice,
    }
    return _named(number, f"judged/{who}/{revision}", round_, annotation_submitted=said)


def skipped(number: int, who: str, vote: int, revision: int = 1) -> Event:
    said = {"pair_index": PAIRS[number], "annotator": who, "vote": vote, "revision": revision}
    return _named(number, f"skipped/{who}/{revision}", 1, task_skipped=said)


def withdrawn(number: int, who: str, revision: int = 1) -> Event:
    said = {"pair_index": PAIRS[number], "annotator": who, "revision": revision}
    return _named(number, f"withdrawn/{who}/{revision}", 1, annotation_withdrawn=said)
