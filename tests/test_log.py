"""One contract for every log; each implementation is run through all of it."""

import threading

import pytest

from concord.kit.errors import Refused
from concord.kit.log import Entry
from concord.kit.log.sqlite import SqliteLog
from concord.kit.log.topics import FACTS, LABEL


def entry(value: bytes, partition: int = 0, topic=FACTS, **more) -> Entry:
    return Entry(topic, partition, b"run", value, **more)


def drain(consumer, count: int, tries: int = 200) -> list:
    """Polls until `count` records came; a log that never delivers fails here instead of hanging."""
    found = []
    for _ in range(tries):
        found += consumer.poll(0.1, 1000)
        if len(found) >= count:
            return found
    raise AssertionError(f"{len(found)} of {count} records after {tries} polls")


@pytest.fixture
def log(open_log):
    return open_log()


def test_offsets_count_up_in_each_partition_alone(log):
    assert list(log.append([entry(b"a"), entry(b"b", 1), entry(b"c")])) == [0, 0, 1]
    assert list(log.append([entry(b"d", 1)])) == [1]
    assert (log.end(FACTS, 0), log.end(FACTS, 1), log.end(FACTS, 2)) == (2, 2, 0)


def test_a_record_reads_back_as_it_was_written(log):
    log.append([entry(b"a", headers=(("traceparent", b"00-1"),))])
    (record,) = log.read(FACTS, 0, 0, 10)
    assert (record.topic, record.partition, record.offset) == (FACTS.name, 0, 0)
    assert (record.key, record.value, record.headers) == (b"run", b"a", (("traceparent", b"00-1"),))


def test_reading_starts_and_stops_where_asked(log):
    log.append([entry(bytes([n])) for n in range(10)])
    assert [r.offset for r in log.read(FACTS, 0, 4, 3)] == [4, 5, 6]
    assert list(log.read(FACTS, 0, 10, 3)) == []


def test_a_group_member_gets_every_record_of_every_partition_in_order(log):
    log.append([entry(bytes([n]), n % 5, LABEL) for n in range(50)])
    consumer = log.subscribe(LABEL, "labeling")
    records = drain(consumer, 50)
    for partition in range(5):
        assert [r.offset for r in records if r.partition == partition] == list(range(10))
    consumer.close()


def test_a_group_goes_on_where_it_committed(log):
    log.append([entry(bytes([n]), 3, LABEL) for n in range(6)])
    first = log.subscribe(LABEL, "labeling")
    drain(first, 6)
    first.commit({3: 4})
    first.close()
    second = log.subscribe(LABEL, "labeling")
    assert [r.offset for r in drain(second, 2)] == [4, 5]
    second.close()


def test_what_a_group_has_not_committed_waits_for_it(log):
    log.append([entry(bytes([n]), n % 3, LABEL) for n in range(9)])
    assert len(list(log.waiting(LABEL, "labeling"))) == 9
    consumer = log.subscribe(LABEL, "labeling")
    drain(consumer, 9)
    consumer.commit({0: 2, 1: 3})
    consumer.poll(0, 1)
    consumer.close()
    assert sorted(record.value for record in log.waiting(LABEL, "labeling")) == [b"\x02", b"\x05", b"\x06", b"\x08"]
    assert len(list(log.waiting(LABEL, "others"))) == 9


def test_a_topic_has_the_partitions_that_it_was_made_with(log):
    assert (log.partitions(FACTS), log.partitions(LABEL)) == (FACTS.partitions, LABEL.partitions)


def test_a_reader_with_its_own_positions_starts_where_it_says(log):
    log.append([entry(bytes([n]), 2) for n in range(6)])
    consumer = log.subscribe(FACTS, "runs", start=lambda partition: 4)
    assert [r.offset for r in drain(consumer, 2)] == [4, 5]
    consumer.close()


def test_a_consumer_that_seeks_goes_on_there(log):
    log.append([entry(bytes([n]), 2) for n in range(6)])
    consumer = log.subscribe(FACTS, "runs", start=lambda partition: 0)
    assert [r.offset for r in drain(consumer, 6)] == [0, 1, 2, 3, 4, 5]
    consumer.seek(2, 3)
    assert [r.offset for r in drain(consumer, 3)] == [3, 4, 5]
    consumer.close()


def test_groups_do_not_disturb_each_other(log):
    log.append([entry(b"a", 0, FACTS)])
    runs, tasks = log.subscribe(FACTS, "runs"), log.subscribe(FACTS, "tasks")
    assert len(drain(runs, 1)) == len(drain(tasks, 1)) == 1
    runs.close()
    tasks.close()


def test_a_paused_partition_is_silent_until_it_is_resumed(log):
    consumer = log.subscribe(LABEL, "labeling")
    drain_assignment(consumer, LABEL)
    consumer.pause([0])
    log.append([entry(b"a", 0, LABEL), entry(b"b", 1, LABEL)])
    found = drain(consumer, 1)
    assert [r.partition for r in found] == [1]
    consumer.resume([0])
    assert [r.partition for r in drain(consumer, 1)] == [0]
    consumer.close()


def test_the_ends_are_those_of_the_log_at_the_time_of_asking(log):
    consumer = log.subscribe(FACTS, "runs", start=lambda partition: 0)
    drain_assignment(consumer)
    log.append([entry(b"a", 7)])
    assert consumer.ends()[7] == 1
    log.append([entry(b"b", 7)])
    assert consumer.ends()[7] == 2
    assert consumer.ends()[8] == 0
    consumer.close()


def drain_assignment(consumer, topic=FACTS) -> None:
    for _ in range(200):
        consumer.poll(0.1, 1)
        if len(consumer.assignment()) == topic.partitions:
            return
    raise AssertionError("the only member of a group was not given its partitions")


def test_what_a_member_has_not_been_handed_yet_is_behind_paused_or_not(log):
    consumer = log.subscribe(LABEL, "labeling")
    drain_assignment(consumer, LABEL)
    assert consumer.behind() == 0
    consumer.pause([0])
    log.append([entry(b"a", 0, LABEL), entry(b"b", 0, LABEL), entry(b"c", 1, LABEL)])
    assert consumer.behind() == 3
    drain(consumer, 1)
    assert consumer.behind() == 2
    consumer.resume([0])
    drain(consumer, 2)
    assert consumer.behind() == 0, "committed or not"
    consumer.close()


def test_many_threads_append_and_nothing_is_lost_or_torn(log):
    def say(name: int) -> None:
        for n in range(40):
            log.append([entry(b"%d/%d" % (name, n)), entry(b"%d/%d'" % (name, n))])

    threads = [threading.Thread(target=say, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = [r.value for r in log.read(FACTS, 0, 0, 1000)]
    assert len(values) == len(set(values)) == 480
    for name in range(6):
        mine = [v for v in values if v.startswith(b"%d/" % name)]
        assert mine == [b"%d/%d%s" % (name, n, mark) for n in range(40) for mark in (b"", b"'")]


def test_the_log_keeps_its_name_and_records_when_it_is_opened_again(open_log):
    first = open_log()
    first.append([entry(b"a")])
    name = first.log_id
    first.close()
    second = open_log()
    assert second.log_id == name
    assert [r.value for r in second.read(FACTS, 0, 0, 10)] == [b"a"]


def test_a_second_process_of_a_group_on_sqlite_is_told_so(tmp_path):
    one, two = SqliteLog(tmp_path / "log.db"), SqliteLog(tmp_path / "log.db")
    held = one.subscribe(FACTS, "runs")
    with pytest.raises(Refused, match="another process already runs the group 'runs'"):
        two.subscribe(FACTS, "runs")
    held.close()
    two.subscribe(FACTS, "runs").close()
