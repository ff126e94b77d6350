"""Folding records: duplicates, batches, restarts, bytes that do not decode, kinds that nobody knows yet."""

from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.kit.ids import event_id
from concord.kit.ids import run_id as run_id_of
from concord.kit.log import Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.fold import Fold, fold_records, restore_run, start_run
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.v1.events_pb2 import Event
from tests.simulation.workload import workload
from tests.simulation.world import World

FOLDS = {"runs": runs.fold(), "tasks": tasks.fold()}


@cache
def history(at: int) -> tuple[str, tuple[Record, ...]]:
    """A run and the facts that a whole cluster said of it."""
    world = World(0, workload(2), lively=False)
    world.run(most_steps=20_000)
    run_id = workload(2)[at].run_id
    records = world.cluster.log.read(FACTS, fact_partition(run_id), 0, 1 << 30)
    return run_id, renumbered([record for record in records if record.key.decode() == run_id])


def renumbered(records: list[Record]) -> tuple[Record, ...]:
    return tuple(record._replace(offset=offset) for offset, record in enumerate(records))


def fold_all(fold: Fold, run_id: str, records, sizes=(1 << 30,)):
    """Folds in batches of these sizes; returns the run and its rows."""
    folded, rows, at = start_run(fold, run_id), {}, 0
    for size in sizes:
        folded, changed = fold_records(fold, folded, records[at : at + size])
        rows = {name: row for name, row in {**rows, **changed}.items() if row is not None}
        at += size
    folded, changed = fold_records(fold, folded, records[at:])
    return folded, {name: row for name, row in {**rows, **changed}.items() if row is not None}


SIZES = st.lists(st.integers(1, 60), max_size=12)


@pytest.mark.parametrize("service", FOLDS)
@settings(max_examples=40)
@given(st.integers(0, 1), st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=20), SIZES)
def test_facts_said_again_later_and_any_batches_change_nothing(service, at, again, sizes):
    run_id, records = history(at)
    wanted, _ = fold_all(FOLDS[service], run_id, records)
    repeated = list(records)
    for which, behind in again:
        which %= len(records)
        place = repeated.index(records[which]) + 1
        repeated.insert(place + behind % (len(repeated) - place + 1), records[which])
    folded, _ = fold_all(FOLDS[service], run_id, renumbered(repeated), sizes)
    assert (folded.state, folded.ids, folded.history) == (wanted.state, wanted.ids, wanted.history)
    assert folded.duplicates == len(again)


@pytest.mark.parametrize("service", FOLDS)
@settings(max_examples=40)
@given(st.integers(0, 1), st.integers(0, 500), SIZES)
def test_a_run_kept_in_rows_and_taken_up_again_goes_on_as_if_it_had_never_stopped(service, at, cut, sizes):
    run_id, records = history(at)
    fold, cut = FOLDS[service], cut % (len(records) + 1)
    wanted, _ = fold_all(fold, run_id, records)
    folded, rows = fold_all(fold, run_id, records[:cut], sizes)
    again = restore_run(fold, run_id, rows)
    assert (again.state, again.ids, again.offset) == (folded.state, folded.ids, folded.offset)
    again, _ = fold_records(fold, again, records[cut:])
    assert (again.state, again.ids, again.history) == (wanted.state, wanted.ids, wanted.history)


@pytest.mark.parametrize("service", FOLDS)
def test_folding_does_not_touch_the_state_it_starts_from(service):
    run_id, records = history(0)
    fold, chance = FOLDS[service], Random(1)
    events = [(Event.FromString(record.value), record.at) for record in records]
    state = fold.initial(run_id)
    while events:
        size = chance.choice([1, 3, 17])
        kept = {name: fold.row(state, name) for name in ("state", "run", "asked")} if service == "runs" else None
        first, names = fold.evolve(state, events[:size])
        second, again = fold.evolve(state, events[:size])
        assert (first, names) == (second, again)
        assert kept is None or kept == {name: fold.row(state, name) for name in kept}
        state, events = first, events[size:]


def event(run_id: str, name: str, **kind: object) -> Event:
    return Event(event_id=event_id(run_id, name), run_id=run_id, **kind)


def record(offset: int, value: bytes, run_id: str = "") -> Record:
    return Record(FACTS.name, 3, offset, run_id.encode(), value, 100.0)


def test_the_first_event_with_an_id_wins():
    run_id, _ = history(0)
    one = event(run_id, "created", run_created={"input_name": "first"})
    two = event(run_id, "created", run_created={"input_name": "second"})
    records = [record(n, e.SerializeToString()) for n, e in enumerate([one, two])]
    folded, _ = fold_records(FOLDS["runs"], start_run(FOLDS["runs"], run_id), records)
    assert folded.state.view.input_name == "first"
    assert folded.duplicates == 1


@pytest.mark.parametrize("junk", [b"\xff\xff", b"", Event(event_id="no uuid").SerializeToString()])
@pytest.mark.parametrize("service", FOLDS)
def test_bytes_that_do_not_decode_mark_the_run_corrupt_and_nothing_behind_them_is_folded(service, junk):
    run_id, records = history(0)
    fold = FOLDS[service]
    spoilt = [*records[:5], record(5, junk), *renumbered(list(records))[6:]]
    before, _ = fold_all(fold, run_id, records[:5])
    folded, rows = fold_all(fold, run_id, spoilt, [2, 6])
    assert folded.corrupt.startswith("offset 5 of partition 3 does not decode")
    assert (folded.state, folded.history) == (before.state, before.history)
    again = restore_run(fold, run_id, rows)
    assert (again.corrupt, again.state) == (folded.corrupt, folded.state)
    assert fold_records(fold, again, records[6:]) == (again, {})


def test_a_kind_that_this_version_does_not_know_is_counted_and_ignored_but_belongs_to_the_history():
    run_id, records = history(0)
    fold = FOLDS["runs"]
    newer = Event(event_id=event_id(run_id, "newer"), run_id=run_id).SerializeToString() + bytes([0xFA, 0x7F, 0])
    wanted, _ = fold_all(fold, run_id, records)
    folded, _ = fold_all(fold, run_id, renumbered([*records[:4], record(4, newer), *records[4:]]))
    assert folded.unknown == 1
    assert replace(folded.state, view=None) == replace(wanted.state, view=None)
    assert folded.history != wanted.history


def test_the_history_hash_tells_other_bytes_and_another_order():
    run_id, records = history(0)
    fold = FOLDS["runs"]
    wanted = fold_all(fold, run_id, records)[0].history
    swapped = renumbered([records[1], records[0], *records[2:]])
    assert fold_all(fold, run_id, swapped)[0].history != wanted
    assert fold_all(fold, run_id, records[:-1])[0].history != wanted


def test_a_fact_that_the_fold_cannot_take_marks_only_that_run_corrupt_at_that_place_for_every_reader():
    """However the records are batched; what stands before it is folded, nothing behind it is."""

    def evolve(state, events):
        for event, _ in events:
            if event.run_cancelled.reason == "poison":
                raise IndexError("no such stage")
            state = (*state, event.run_cancelled.reason)
        return state, frozenset()

    run_id = run_id_of("poison", b"")
    nothing = lambda *_: ()  # noqa: E731
    toy = Fold(1, nothing, evolve, lambda state, name: None, nothing, nothing, lambda state: True)
    said = ["a", "b", "poison", "c"]
    records = []
    for offset, reason in enumerate(said):
        event = Event(event_id=event_id(run_id, reason), run_id=run_id, run_cancelled={"reason": reason})
        records.append(Record(FACTS.name, 0, offset, run_id.encode(), event.SerializeToString(), 0.0))
    whole, _ = fold_records(toy, start_run(toy, run_id), records)
    single = start_run(toy, run_id)
    for record in records:
        single, _ = fold_records(toy, single, [record])
    assert (whole.state, whole.history, whole.ids) == (single.state, single.history, single.ids)
    assert whole.corrupt == single.corrupt == "offset 2 of partition 0 does not fit: IndexError: no such stage"
    assert whole.state == ("a", "b")
