"""A run read back from its log, on SQLite and on a real broker: as it was at any offset or time, by the log alone, without a
group; dead letters listed and put back once."""

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient

from concord.client.run import confirm
from concord.kit.blobs import MemoryBlobs
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.ids import event_id
from concord.kit.log import Entry, Record
from concord.kit.log.kafka.url import parse
from concord.kit.log.topics import DEAD_LETTERS, FACTS, LABEL, fact_partition
from concord.kit.loop import events
from concord.kit.loop.facts import dead_letter
from concord.kit.loop.run_records import records
from concord.kit.loop.worker import Worker
from concord.kit.settings import Settings, open_log, open_store
from concord.operate import replay_commands, run_log
from concord.operate.local_records import here
from concord.runs import dead_letters
from concord.v1.events_pb2 import Event, PauseReason
from concord.v1.runs_service_pb2 import RUN_STATUS_FINISHED
from tests.test_cli import concord
from tests.test_doctor import run_in, settings_in
from tests.test_sigkill import endpoint


@pytest.fixture(params=["sqlite", "kafka"])
def settings(request, tmp_path) -> Settings:
    plain = settings_in(tmp_path / "home")
    return replace(plain, log_url=request.getfixturevalue("kafka_url")) if request.param == "kafka" else plain


def told(do, *given) -> str:
    lines: list[str] = []
    do(*given, say=lines.append)
    return "\n".join(lines)


def story(settings: Settings, run_id: str) -> str:
    with here(settings) as place:
        return told(replay_commands.tell, place, run_id, "", False)


def test_letters_are_listed_and_put_back_once_and_their_run_then_finishes(settings):
    with endpoint(key="right") as judge:
        flags = {"judge": f"{judge.url}#stub", "pilot": 0, "method": "none"}
        view = run_in(settings, **flags)
        assert view.pause_reason == PauseReason.PAUSE_REASON_FAILED_UNITS
        log = open_log(settings)
        listed = json.loads(told(replay_commands.print_letters, log, view.run_id, True))
        # The first failure pauses the run; what else was under way may have failed as well.
        assert listed and {letter["unit"] for letter in listed} <= {"LABEL/0", "LABEL/1", "LABEL/2"}
        assert all(
            letter["topic"] == LABEL.name and "401" in letter["error"] and letter["at"] > 1e9 for letter in listed
        )
        assert listed[0]["letter"] in told(replay_commands.print_letters, log, "", False)
        judge.behaviour.key = ""
        with pytest.raises(NotFound, match="no such dead letter"):
            replay_commands.requeue(settings, view.run_id, ["5/99999"], True)
        with pytest.raises(InvalidInput, match="PARTITION/OFFSET"):
            replay_commands.requeue(settings, view.run_id, ["7"], True)
        with pytest.raises(InvalidInput, match="say --yes"):
            replay_commands.requeue(settings, view.run_id, ["all"], False)
        assert f"{len(listed)} put back" in told(replay_commands.requeue, settings, view.run_id, ["all"], True)
        assert "nothing to put back" in told(replay_commands.requeue, settings, view.run_id, ["all"], True)
        assert "was put back before" in told(
            replay_commands.requeue, settings, view.run_id, [listed[0]["letter"]], True
        )
        again = run_in(settings, **flags)
    assert again.status == RUN_STATUS_FINISHED, story(settings, view.run_id)
    assert not any(stage.failed for stage in again.stages)
    kinds = [fact.kind for fact in events.facts(records(log, view.run_id))]
    assert kinds.count("stage_retried") == 1 and kinds.count("shard_labeled") == 3
    assert all(
        letter["put_back_at"] for letter in json.loads(told(replay_commands.print_letters, log, view.run_id, True))
    )
    assert "failed after 1: " in story(settings, view.run_id)
    log.close()


def test_should_the_mark_be_lost_putting_back_a_second_time_changes_nothing(tmp_path):
    settings = settings_in(tmp_path)
    with endpoint(key="right") as judge:
        view = run_in(settings, judge=f"{judge.url}#stub", pilot=0, method="none")
    log = open_log(settings)
    steps = dead_letters.plan(dead_letters.read(log), lambda run_id: run_log.fold(log, run_id).state)
    dead_letters.put_back(log, steps)
    once = run_log.fold(log, view.run_id)
    dead_letters.put_back(log, steps)
    twice = run_log.fold(log, view.run_id)
    assert twice.duplicates == once.duplicates + 1
    assert (twice.state, twice.history) == (once.state, once.history)


def test_a_letter_whose_stage_is_over_is_not_put_back(tmp_path):
    settings = settings_in(tmp_path)
    with endpoint() as judge:
        view = run_in(settings, judge=f"{judge.url}#stub", pilot=0, method="none")
        assert view.status == RUN_STATUS_FINISHED
    log = open_log(settings)
    (record, *_) = log.read(LABEL, *_place_of_first(log), 1)
    log.append([dead_letter(record, 3, "gave up")])
    assert "would change nothing: its stage is over" in told(replay_commands.requeue, settings, "", ["all"], True)
    assert "nothing to put back" in told(replay_commands.requeue, settings, "", ["all"], True)


def _place_of_first(log) -> tuple[int, int]:
    return next((partition, 0) for partition in range(LABEL.partitions) if log.end(LABEL, partition))


def test_an_item_that_nobody_could_read_goes_back_as_it_came(open_log, tmp_path):
    log = open_log()
    log.append([Entry(LABEL, 3, b"key", b"\xff\xff")])
    worker = Worker("labeling", LABEL, lambda work: None, log, MemoryBlobs(), lambda: 0.0, 1)
    for _ in range(400):
        worker.step(0.05)
        if found := dead_letters.read(log):
            break
    (letter,) = found
    assert letter.run_id == "" and letter.unit is None and "does not decode" in letter.said.error
    steps = dead_letters.plan(found, lambda run_id: pytest.fail("there is no run to ask for"))
    assert dead_letters.put_back(log, steps) == 1
    back = log.read(LABEL, 3, 1, 10)
    assert [(r.key, r.value, r.headers) for r in back] == [
        (b"key", b"\xff\xff", (("requeued-from", letter.name.encode()),))
    ]
    assert dead_letters.put_back(log, dead_letters.plan(dead_letters.read(log), lambda run_id: None)) == 0
    worker.close()


# By the log alone


def groups(admin: KafkaAdminClient, prefix: str) -> dict[str, object]:
    """The groups of this world and what they have committed."""
    names = sorted(group["group_id"] for group in admin.list_groups() if group["group_id"].startswith(prefix))
    return {name: admin.list_group_offsets(name) for name in names}


@pytest.mark.slow
def test_a_run_is_read_from_kafka_by_its_id_from_anywhere_and_nothing_there_moves(kafka_url, bootstrap, tmp_path):
    settings = replace(settings_in(tmp_path / "home"), log_url=kafka_url)
    view = run_in(settings, method="none")
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    prefix = parse(kafka_url).prefix
    before = groups(admin, prefix), sorted(name for name in admin.list_topics() if name.startswith(prefix))
    assert any(name.endswith("runs") for name in before[0]) and not any(DEAD_LETTERS.name in name for name in before[1])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    story = concord(elsewhere, "replay", view.run_id, "--log", kafka_url)
    assert story.returncode == 0, story.stderr
    assert "finished" in story.stdout and "LABEL" in story.stdout and "DATASET" in story.stdout
    log = open_log(settings)
    facts = events.facts(records(log, view.run_id))
    # The first fact that is younger than the one before: times count in milliseconds.
    middle = next(at for at in range(len(facts) // 2, len(facts)) if facts[at].at > facts[at - 1].at)
    by_time = concord(elsewhere, "replay", view.run_id, "--log", kafka_url, "--json", "--until", iso(facts[middle].at))
    by_offset = run_log.as_json(run_log.fold(log, view.run_id, facts[middle].offset))
    told_then = json.loads(by_time.stdout)
    assert told_then.pop("flaws") == [] and told_then.pop("story")
    assert told_then == by_offset
    assert not concord(elsewhere, "replay", "--dead-letters", "--log", kafka_url).stderr
    live = concord(elsewhere, "replay", view.run_id, "--log", kafka_url, "--diff", CONCORD_STATE_URL=settings.state_url)
    assert (live.returncode, live.stdout) == (0, "log and store agree\n"), live.stderr
    blind = concord(elsewhere, "replay", "last", "--log", kafka_url)
    assert blind.returncode == 2 and "CONCORD_STATE_URL" in blind.stderr and "whole id" in blind.stderr
    urls = {"CONCORD_LOG_URL": kafka_url, "CONCORD_BLOB_URL": settings.blob_url}
    made = concord(elsewhere, "report", view.run_id, "--out", "made", **urls)
    assert made.returncode == 0, made.stderr
    health = concord(elsewhere, "doctor", view.run_id, **urls, CONCORD_STATE_URL=settings.state_url)
    assert "is finished: 96 pairs" in health.stdout and "log (kafka" in health.stdout, health.stdout + health.stderr
    lost = concord(elsewhere, "replay", view.run_id, "--log", kafka_url + "x")
    assert lost.returncode == 2 and f"has no topic {prefix}x{FACTS.name}" in lost.stderr
    assert (groups(admin, prefix), sorted(n for n in admin.list_topics() if n.startswith(prefix))) == before
    assert not list(elsewhere.rglob("*.sqlite"))
    admin.close()
    log.close()


def test_until_is_an_offset_or_a_time_and_anything_else_is_refused_before_anything_is_read():
    found = [Record(FACTS.name, 0, offset, b"", b"", 1000.0 + offset / 4) for offset in (3, 4, 8)]
    offsets = lambda until: [record.offset for record in run_log.cut(found, until)]  # noqa: E731
    assert (offsets(""), offsets("4"), offsets("7"), offsets("0")) == ([3, 4, 8], [3, 4], [3, 4], [])
    assert (offsets(iso(1001.0)), offsets(iso(1001.25)), offsets(iso(1003.0))) == ([3], [3, 4], [3, 4, 8])
    with pytest.raises(InvalidInput, match="an offset or a time such as"):
        run_log.cut(iter(()), "yesterday")


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


class Watched:
    """A log that notes which places are read."""

    def __init__(self, log) -> None:
        self.seen: set[tuple[str, int]] = set()
        self._log, self.end = log, log.end

    def read(self, topic, partition, offset, limit):
        self.seen.add((topic.name, partition))
        return self._log.read(topic, partition, offset, limit)


def test_telling_a_run_reads_its_own_partition_of_the_facts_and_the_dead_letters(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(settings, method="none")
    with here(settings) as place:
        place.log = watched = Watched(place.log)
        told(replay_commands.tell, place, view.run_id, "", False)
    assert {partition for topic, partition in watched.seen if topic == FACTS.name} == {fact_partition(view.run_id)}
    assert {topic for topic, _ in watched.seen} == {FACTS.name, DEAD_LETTERS.name}


def test_a_store_that_lags_is_no_difference_and_is_said(tmp_path):
    settings = settings_in(tmp_path)
    view = run_in(settings, method="none")
    log = open_log(settings)
    log.append([Entry(FACTS, fact_partition(view.run_id), view.run_id.encode(), late(view.run_id))])
    said = told(replay_commands.compare, log, open_store(settings), view.run_id, "")
    assert said == "log and store agree; 1 newer fact is not in the store yet"
    assert open_store(settings).runs("runs") == [view.run_id]


def late(run_id: str) -> bytes:
    return Event(event_id=event_id(run_id, "late"), run_id=run_id, run_cancelled={"reason": "late"}).SerializeToString()


def test_an_end_of_input_where_a_command_asks_is_a_no(monkeypatch):
    master, slave = os.openpty()
    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        os.write(master, b"\x04")  # Ctrl-D
        assert confirm.agreed("put 2 back?", "2 would be put back") is False
    os.close(master)


def test_facts_that_do_not_decode_are_printed_as_bytes_and_no_unit_behind_them_is_done_again(settings):
    run_id, log = str(uuid4()), open_log(settings)
    log.append([Entry(FACTS, fact_partition(run_id), run_id.encode(), b"\xff\xff")])
    assert json.loads(told(replay_commands.print_events, records(log, run_id)))["undecodable"] == "ffff"
    with pytest.raises(NotFound, match="no fact of unit LABEL/0"):
        run_log.work_of(log, run_id, run_log.parse_unit("LABEL/0"))
