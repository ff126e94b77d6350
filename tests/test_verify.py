"""Facts that were altered, deleted or moved are found, with the first offset that is wrong, on each log that is embedded."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from concord.client.results.records import there
from concord.embedded import embedded
from concord.kit.blobs import FileBlobs
from concord.kit.log import Entry, Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.fold import fold_records, start_run
from concord.kit.loop.run_records import records
from concord.kit.settings import Settings, open_blobs, open_log
from concord.operate import inspect, tamper, verify
from concord.operate.local_records import here
from concord.operate.verify import Verified
from concord.runs import service as runs
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2 import RunView
from concord.wiring import SERVICES
from tests.simulation.memory_log import Broker, MemoryLog
from tests.test_annotate import place_in
from tests.test_cli import concord
from tests.test_doctor import run_in, settings_in, truth
from tests.test_golden import NAMES, recorded


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> tuple[Settings, RunView]:
    """A finished run, for tests that change nothing."""
    settings = settings_in(tmp_path_factory.mktemp("home"))
    return settings, run_in(settings, truth, budget="10")


@pytest.fixture
def finished(kept, tmp_path) -> tuple[Settings, RunView]:
    """A copy of it, to be tampered with."""
    settings, view = kept
    copy = settings_in(tmp_path / "home")
    Path(copy.home).mkdir(parents=True)
    for path in (settings.log_url, settings.state_url):
        name = Path(path.removeprefix("sqlite:///")).name
        with (
            sqlite3.connect(Path(settings.home) / name) as whole,
            sqlite3.connect(Path(copy.home) / name) as other,
        ):
            whole.backup(other)
    (Path(copy.home) / "blobs").symlink_to(Path(settings.home) / "blobs")
    return copy, view


def found(settings: Settings, run_id: str) -> Verified:
    with here(settings) as place:
        return verify.verified(place, run_id)


def change(settings: Settings, *statements: tuple[str, tuple]) -> None:
    with sqlite3.connect(settings.log_url.removeprefix("sqlite:///")) as log:
        for statement, values in statements:
            log.execute(statement.replace("PLACE", "topic = ? AND partition = ? AND offset = ?"), values)


def facts(settings: Settings, view: RunView) -> list[tuple[Record, Event]]:
    log = open_log(settings)
    return [(record, Event.FromString(record.value)) for record in records(log, view.run_id)]


def of_kind(settings: Settings, view: RunView, kind: str) -> tuple[Record, Event]:
    return next((record, event) for record, event in facts(settings, view) if event.WhichOneof("kind") == kind)


def place_of(record: Record) -> tuple:
    return record.topic, record.partition, record.offset


def altered(settings: Settings, record: Record, event: Event) -> None:
    change(settings, ("UPDATE records SET value = ? WHERE PLACE", (event.SerializeToString(), *place_of(record))))


def test_a_run_is_as_it_was_recorded(kept):
    settings, view = kept
    seen = found(settings, view.run_id)
    assert not seen.flaws and seen.first is None
    assert any("runs and tasks knows the run" in note for note in seen.notes)
    assert any(view.dataset_sha256 in note for note in seen.notes)


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_history_is_as_it_was_recorded(name):
    told = recorded(name)
    assert not verify.facts_of(told[0].key.decode(), told, None)[1]


def test_a_verdict_that_was_altered_is_found_where_it_stands(finished):
    settings, view = finished
    record, event = of_kind(settings, view, "shard_labeled")
    event.shard_labeled.choice[0] = 3 - event.shard_labeled.choice[0]
    altered(settings, record, event)
    assert found(settings, view.run_id).first == record.offset


def test_so_is_what_a_unit_cost_and_a_resolution(finished):
    settings, view = finished
    resolved, said = of_kind(settings, view, "task_resolved")
    said.task_resolved.choice = 3 - said.task_resolved.choice
    altered(settings, resolved, said)
    trained, made = of_kind(settings, view, "fold_trained")
    made.usage.dollars = 5.0
    altered(settings, trained, made)
    offsets = {flaw.offset for flaw in found(settings, view.run_id).flaws}
    assert {resolved.offset, trained.offset} <= offsets


def test_an_answer_that_was_altered_breaks_the_chain_though_nobody_knows_where(finished):
    settings, view = finished
    record, event = of_kind(settings, view, "annotation_submitted")
    event.annotation_submitted.comment = "put in later"
    altered(settings, record, event)
    seen = found(settings, view.run_id)
    assert seen.flaws and all(flaw.offset is None for flaw in seen.flaws)
    assert "names a hash of the facts up to offset" in seen.flaws[0].says
    assert seen.good is not None


@pytest.mark.parametrize("kind", ["annotation_submitted", "shard_labeled", "stage_opened", "run_finished"])
def test_a_fact_that_was_deleted_leaves_a_gap_that_is_named(finished, kind):
    settings, view = finished
    record, _ = of_kind(settings, view, kind)
    change(settings, ("DELETE FROM records WHERE PLACE", place_of(record)))
    assert record.offset in {flaw.offset for flaw in found(settings, view.run_id).flaws}


def test_facts_that_changed_places_are_found_at_the_first_of_them(finished):
    settings, view = finished
    (one, _), (other, _) = [pair for pair in facts(settings, view) if pair[1].HasField("annotation_submitted")][:2]
    swap = "UPDATE records SET value = ? WHERE PLACE"
    change(settings, (swap, (other.value, *place_of(one))), (swap, (one.value, *place_of(other))))
    assert found(settings, view.run_id).first == one.offset


def test_a_fact_that_was_put_in_is_found(finished):
    settings, view = finished
    record, event = of_kind(settings, view, "run_started")
    event.event_id = "6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77"
    change(
        settings,
        (
            "UPDATE records SET key = ?, value = ? WHERE PLACE",
            (record.key, event.SerializeToString(), *place_of(record)),
        ),
    )
    assert found(settings, view.run_id).first == record.offset


def test_a_fact_of_another_run_is_found(finished):
    settings, view = finished
    record, event = of_kind(settings, view, "shard_scored")
    event.run_id = "6f7b9a1e-52c1-5d0b-9c64-0c8d1f0e4a77"
    altered(settings, record, event)
    assert found(settings, view.run_id).first == record.offset


def test_a_fact_that_does_not_decode_is_found(finished):
    settings, view = finished
    record, _ = of_kind(settings, view, "shard_scored")
    change(settings, ("UPDATE records SET value = ? WHERE PLACE", (b"\xff\xff", *place_of(record))))
    assert found(settings, view.run_id).first == record.offset


def test_blobs_that_are_gone_or_others_are_named(finished, tmp_path):
    settings, view = finished
    blobs = Path(settings.home) / "blobs"
    real = blobs.resolve()
    blobs.unlink()
    blobs.mkdir()
    store = open_blobs(settings)
    assert isinstance(store, FileBlobs)
    for path in (real / "blobs").glob("*/*"):
        if path.name != view.dataset_uri.removeprefix("sha256:"):
            store.put(path.read_bytes())
    said = [flaw.says for flaw in found(settings, view.run_id).flaws]
    assert any(view.dataset_uri in words and "is not at" in words for words in said)


def test_a_run_that_goes_on_is_held_against_what_its_store_folded(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(settings, until=lambda view: view.stages and view.stages[0].closed)
    assert not found(settings, view.run_id).flaws
    record, event = of_kind(settings, view, "pairs_added")
    event.pairs_added.shards[0].text_bytes += 1
    altered(settings, record, event)
    assert [flaw.says for flaw in found(settings, view.run_id).flaws if "with other contents" in flaw.says]


def test_a_run_that_has_not_come_to_its_end_is_sound_only_so_far(finished, tmp_path):
    settings, view = finished
    whole = found(settings, view.run_id)
    assert whole.ended and verify.lines(whole)[-1].endswith(": as it was recorded")
    with place_in(tmp_path) as place:
        place.asked(place.sitting())
    begun = found(settings_in(place.home), place.job.run_id)
    assert not begun.flaws and not begun.ended and not verify.as_json(begun)["ended"]
    assert "so far: it has not come to its end" in verify.lines(begun)[-1]


def test_the_command_doctor_and_replay_say_it_and_end_with_3(finished):
    settings, view = finished
    record, event = of_kind(settings, view, "shard_labeled")
    event.shard_labeled.p_first[0] = 0.123
    folder = Path(settings.home).parent
    assert concord(folder, "verify", "last", CONCORD_HOME=settings.home).returncode == 0
    altered(settings, record, event)
    told = concord(folder, "verify", "last", CONCORD_HOME=settings.home)
    assert told.returncode == 3 and f"✗ offset {record.offset} of partition" in told.stdout, told
    plain = json.loads(concord(folder, "verify", "last", "--json", CONCORD_HOME=settings.home).stdout)
    assert (plain["well"], plain["first_wrong_offset"]) == (False, record.offset)
    replayed = concord(folder, "replay", "last", CONCORD_HOME=settings.home)
    assert replayed.returncode == 3 and "concord verify" in replayed.stdout, replayed
    said = inspect.patient(settings, view.run_id, 1.8e9, SERVICES, {}).findings
    assert "not as they were recorded" in said[0].says and "concord verify" in said[0].do


def test_through_a_front_door_less_is_seen_and_that_is_said(finished):
    settings, view = finished
    with embedded(settings) as running, there(running.address) as far:
        seen = verify.verified(far, view.run_id)
    assert not seen.flaws and any("not looked at through a front door" in note for note in seen.notes)


# The same on the log in memory


def memory(told: Sequence[Record]) -> Broker:
    broker = Broker(clock=lambda: 1_760_000_000.0)
    run_id = told[0].key.decode()
    MemoryLog(broker).append([Entry(FACTS, fact_partition(run_id), record.key, record.value) for record in told])
    return broker


def _alter(stored: list[Record]) -> int:
    at = next(n for n, record in enumerate(stored) if Event.FromString(record.value).HasField("shard_labeled"))
    event = Event.FromString(stored[at].value)
    event.shard_labeled.p_first[0] = 0.123
    stored[at] = stored[at]._replace(value=event.SerializeToString())
    return at


def _delete(stored: list[Record]) -> int:
    del stored[7]
    return 7


def _swap(stored: list[Record]) -> int:
    stored[8], stored[9] = (
        stored[8]._replace(value=stored[9].value),
        stored[9]._replace(value=stored[8].value),
    )
    return 8


@pytest.mark.parametrize("tamper_with", [_alter, _delete, _swap])
def test_the_log_in_memory_does_not_hide_it_either(tamper_with: Callable[[list[Record]], int]):
    told = recorded("rlthf")
    run_id = told[0].key.decode()
    broker = memory(told)
    fold = runs.fold()
    _, rows = fold_records(fold, start_run(fold, run_id), list(records(MemoryLog(broker), run_id)))
    witness = tamper.witness_of("runs", {name: value for name, value in rows.items() if value is not None})
    assert witness is not None
    where = tamper_with(broker.topics[FACTS.name][fact_partition(run_id)][0])
    read = list(records(MemoryLog(broker), run_id))
    kept, flaws, _ = verify.facts_of(run_id, read, None)
    flaws += tamper.unlike_store(kept, witness)
    offsets = [flaw.offset for flaw in flaws if flaw.offset is not None]
    assert flaws and (tamper_with is _alter or where in offsets or where + 1 in offsets)
