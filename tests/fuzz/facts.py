"""Facts with any values: every fold takes them, and whoever reads a run from them gets to its end."""

import json
import random

from concord.client.run import options
from concord.commands.results import run_lines
from concord.kit import ids
from concord.kit.log import Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.events import facts
from concord.kit.loop.fold import Fold, fold_records, restore_run, start_run
from concord.operate import run_log, timeline, timeline_text
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.v1.events_pb2 import Event, Stage, Unit
from tests.fuzz_messages import message

RUN = ids.run_id("any facts", b"")
CONFIG = options.run_config(options.resolve({"judge": "sample", "shard_pairs": 32, "budget": "10%"}), None)
LIKELY = {
    "run_id": (RUN,),
    "stage": (*Stage.values(), 99),
    "round": (0, 1, 2),
    "number": (0, 1, 2, 3),
    "pair_index": (0, 1, 2, 3),
    "units": (0, 1, 3),
    "annotator": ("ann", "bob"),
    "method": ("posterior", "rlthf", "none", "human-only", "newer"),
}
FOLDS = (runs.fold(), tasks.fold())


def one(rng: random.Random) -> None:
    """A run of some sound facts and some that hold anything."""
    records = [_record(at, event) for at, event in enumerate(_story(rng))]
    for fold in FOLDS:
        _folded(fold, records, rng)
    run = run_log.fold_of(RUN, records)
    said = timeline.tell(facts(records))
    about = timeline_text.About(run.state.view, fact_partition(RUN), run.corrupt, run.duplicates, 0)
    list(timeline_text.lines(about, said))
    run_lines([run.state.view])
    json.dumps(run_log.as_json(run))


def _folded(fold: Fold, records: list[Record], rng: random.Random) -> None:
    """In one batch and in several, as it is kept and taken up again: the same state, and never corrupt."""
    whole, rows = fold_records(fold, start_run(fold, RUN), records)
    assert not whole.corrupt, whole.corrupt
    cut = rng.randrange(len(records) + 1)
    _, kept = fold_records(fold, start_run(fold, RUN), records[:cut])
    again = restore_run(fold, RUN, {name: value for name, value in kept.items() if value is not None})
    both, more = fold_records(fold, again, records[cut:])
    merged = {**kept, **more}
    for name in rows:
        if not name.startswith("~") and merged.get(name) is not None:
            assert fold.row(both.state, name) == fold.row(whole.state, name), name


def _story(rng: random.Random) -> list[Event]:
    """The facts that begin a run most of the time, and then any."""
    told: list[Event] = []
    if rng.random() < 0.9:
        told.append(_fact(rng, run_created={"config": CONFIG, "input_name": "made up"}))
        told.append(_fact(rng, pairs_added={"shards": [{"uri": "sha256:1", "first_index": 0, "pairs": 100}]}))
        told.append(_fact(rng, run_started={"pairs_uri": "sha256:2", "pairs": 100, "human_budget": 10}))
    if rng.random() < 0.7:
        stage = rng.choice(
            (Stage.STAGE_PILOT_LABEL, Stage.STAGE_PILOT_ANNOTATE, Stage.STAGE_LABEL, Stage.STAGE_ANNOTATE)
        )
        told.append(_fact(rng, stage_opened={"stage": stage, "units": 3, "pair_indexes": [0, 1, 2]}))
    return told + [_any(rng) for _ in range(rng.randrange(1, 8))]


def _fact(rng: random.Random, **kind: object) -> Event:
    return Event(event_id=ids.event_id(RUN, rng.random()), run_id=RUN, **kind)


def _any(rng: random.Random) -> Event:
    event = message(rng, Event, LIKELY)
    assert isinstance(event, Event)
    event.event_id, event.run_id = ids.event_id(RUN, rng.random()), RUN
    if rng.random() < 0.4:
        event.ClearField("unit")
    elif rng.random() < 0.5:
        event.unit.CopyFrom(
            Unit(stage=rng.choice(Stage.values()), round=rng.choice((0, 1)), number=rng.choice((0, 1, 2)))
        )
    return event


def _record(offset: int, event: Event) -> Record:
    value = event.SerializeToString(deterministic=True)
    return Record(FACTS.name, fact_partition(RUN), offset, RUN.encode(), value, 1_760_000_000.0 + offset)
