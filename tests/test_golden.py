"""Golden histories: facts of real runs, recorded once, folded by the code as it is now."""

import json
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from concord.kit.log import Record
from concord.kit.log.topics import FACTS
from concord.kit.loop.fold import Folded, fold_records, restore_run, start_run
from concord.operate.run_log import as_json
from concord.preference.methods import METHODS
from concord.runs import service as runs
from concord.tasks import service as tasks
from concord.v1.events_pb2 import Event, PauseReason, TaskOutcome
from tests.golden.__main__ import HISTORIES

HERE = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in HERE.glob("*.jsonl"))


def recorded(name: str) -> list[Record]:
    out = []
    for line in (HERE / f"{name}.jsonl").read_text().splitlines():
        fact = json.loads(line)
        event = ParseDict(fact["event"], Event())
        value = event.SerializeToString(deterministic=True)
        out.append(Record(FACTS.name, 0, fact["offset"], event.run_id.encode(), value, fact["at"]))
    return out


def folded(name: str, records: list[Record]) -> Folded:
    fold = runs.fold()
    return fold_records(fold, start_run(fold, records[0].key.decode()), records)[0]


def expected(name: str) -> dict:
    return json.loads((HERE / f"{name}.json").read_text())


def events_of(name: str) -> list[Event]:
    return [Event.FromString(record.value) for record in recorded(name)]


TOLD = {name: events_of(name) for name in NAMES}
EVENTS = [event for events in TOLD.values() for event in events]
# Facts of stages that no method's plan holds yet.
NOT_YET: set[str] = set()
# The most that all histories together may weigh.
MOST_BYTES = 940_000


def test_each_recorded_history_is_one_of_the_table_and_the_other_way_round():
    assert set(NAMES) == set(HISTORIES)


def test_there_is_a_history_of_every_method():
    told = {event.run_created.config.method for event in EVENTS if event.HasField("run_created")}
    assert told == set(METHODS)


def test_there_is_a_history_of_every_kind_of_fact_that_can_be_said():
    kinds = {field.name for field in Event.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert {event.WhichOneof("kind") for event in EVENTS} == kinds - NOT_YET


def test_there_is_a_history_of_every_reason_to_pause_and_every_outcome_of_a_task():
    reasons = {event.run_paused.reason for event in EVENTS if event.HasField("run_paused")}
    assert reasons == set(PauseReason.values()) - {PauseReason.PAUSE_REASON_UNSPECIFIED}
    outcomes = {event.task_resolved.outcome for event in EVENTS if event.HasField("task_resolved")}
    assert outcomes == set(TaskOutcome.values()) - {TaskOutcome.TASK_OUTCOME_UNSPECIFIED}


def kinds_of(name: str) -> list[str]:
    return [event.WhichOneof("kind") for event in TOLD[name]]


def follow_each_other(kinds: list[str], *wanted: str) -> bool:
    """Whether these stand among the kinds in this order, others in between or not."""
    rest = iter(kinds)
    return all(kind in rest for kind in wanted)


@pytest.mark.parametrize(
    ("name", "what_happened"),
    [
        ("failed", ("unit_failed", "run_paused", "stage_retried", "shard_labeled", "run_finished")),
        ("deferred", ("unit_deferred", "run_paused", "run_resumed", "fold_trained", "run_finished")),
        ("silent", ("run_paused", "stage_retried", "shard_labeled", "run_finished")),
        ("one-sided", ("run_paused", "run_resumed", "shard_labeled", "run_finished")),
        ("misaligned", ("run_paused", "run_resumed", "run_finished")),
        ("paused", ("run_paused", "budget_changed", "run_resumed", "run_finished")),
        ("dollars", ("run_paused", "budget_changed", "run_resumed", "run_finished")),
        ("two-minds", ("annotation_submitted", "annotation_withdrawn", "task_skipped", "task_resolved")),
        ("cancelled", ("stage_opened", "run_cancelled")),
        ("revoked", ("access_revoked", "run_cancelled")),
        ("erased", ("run_cancelled", "erased")),
        (
            "evaluated-by-people",
            ("policy_judged", "annotation_submitted", "task_skipped", "task_resolved", "run_finished"),
        ),
    ],
)
def test_a_history_tells_what_its_name_says(name, what_happened):
    assert follow_each_other(kinds_of(name), *what_happened)


def test_a_cancelled_run_gets_no_dataset_and_a_linked_one_names_its_parent():
    assert "run_finished" not in kinds_of("cancelled")
    assert TOLD["linked"][0].run_created.config.parent.run_id


def test_the_histories_stay_small():
    assert sum(path.stat().st_size for path in HERE.iterdir()) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_a_history_folds_to_the_state_it_once_folded_to_and_to_the_same_hash(name):
    assert as_json(folded(name, recorded(name))) == expected(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_history_said_twice_folds_to_the_same_state(name):
    records = recorded(name)
    twice = as_json(folded(name, [record for record in records for _ in range(2)]))
    assert twice.pop("duplicates") == len(records) + expected(name)["duplicates"]
    assert twice == {key: value for key, value in expected(name).items() if key != "duplicates"}


@pytest.mark.parametrize("name", NAMES)
def test_a_history_cut_anywhere_goes_on_from_its_snapshot(name):
    fold, records = runs.fold(), recorded(name)
    run_id = records[0].key.decode()
    for cut in range(1, len(records), 7):
        rows: dict[str, bytes] = {}
        run = start_run(fold, run_id)
        for part in (records[:cut], records[cut:]):
            run, changed = fold_records(fold, run, part)
            rows = {n: value for n, value in (rows | changed).items() if value is not None}
            run = restore_run(fold, run_id, rows)
        assert as_json(run) == expected(name), cut


@pytest.mark.parametrize("name", NAMES)
def test_after_a_history_nobody_is_asked_anything(name):
    fold, records = tasks.fold(), recorded(name)
    run, _ = fold_records(fold, start_run(fold, records[0].key.decode()), records)
    assert run.state.run.ended and not run.state.tasks and not fold.active(run.state)
