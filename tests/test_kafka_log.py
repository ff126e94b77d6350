"""What only a cluster has: several members of a group, topics that somebody else made."""

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from concord.kit.errors import InvalidInput, Unavailable
from concord.kit.log.kafka.log import KafkaLog
from concord.kit.log.kafka.reader import UNUSED_S, Readers
from concord.kit.log.kafka.settings import KafkaSettings, opened
from concord.kit.log.kafka.topics import settings_of
from concord.kit.log.kafka.url import parse
from concord.kit.log.kafka.workarounds.net import CONNECT_MS, PatientClient
from concord.kit.log.topics import FACTS, LABEL, TRIAGE
from tests.members import ALL, collect, entry, places, rows, settle, share

# Groups


def test_two_members_share_the_partitions_and_each_record_comes_once(open_kafka):
    log = open_kafka()
    one, two = log.subscribe(TRIAGE, "triage"), log.subscribe(TRIAGE, "triage")
    share(one, two)
    assert one.assignment() | two.assignment() == ALL
    log.append(rows(10))
    found = collect([one, two], 80)
    assert places(found) == {(partition, offset) for partition in ALL for offset in range(10)}
    assert all(record.partition in member.assignment() for member, record in found)
    one.close()
    two.close()


def test_a_closed_member_s_partitions_move_at_once_and_go_on_where_it_committed(open_kafka):
    log = open_kafka(session_ms=30_000)
    one, two = log.subscribe(TRIAGE, "triage"), log.subscribe(TRIAGE, "triage")
    share(one, two)
    log.append(rows(5))
    collect([one, two], 40)
    left = two.assignment()
    two.commit({partition: 3 for partition in left})
    two.close()
    found = settle([one], lambda: one.assignment() == ALL)
    assert places(collect([one], 8, found)) == {(partition, offset) for partition in left for offset in (3, 4)}
    one.close()


CHILD = """
import sys
from concord.kit.log.kafka.log import KafkaLog
from concord.kit.log.topics import TRIAGE
member = KafkaLog(sys.argv[1]).subscribe(TRIAGE, "triage")
while True:
    member.poll(0.1, 10)
    print(len(member.assignment()), flush=True)
"""


def test_a_killed_member_s_partitions_move_when_its_session_ends(open_kafka, kafka_url):
    log = open_kafka(session_ms=1500)
    survivor = log.subscribe(TRIAGE, "triage")
    share(survivor)
    child = subprocess.Popen([sys.executable, "-c", CHILD, kafka_url + "&session_ms=1500"], stdout=subprocess.PIPE)
    os.set_blocking(child.stdout.fileno(), False)
    try:
        settle([survivor], lambda: len(survivor.assignment()) == 4 and b"4\n" in (child.stdout.read() or b""))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    settle([survivor], lambda: survivor.assignment() == ALL)
    survivor.close()


def test_a_newcomer_takes_only_what_must_move_and_nothing_else_is_interrupted(open_kafka):
    log, asked = open_kafka(), []
    log.append(rows(1))
    one = log.subscribe(TRIAGE, "triage", start=lambda partition: asked.append(partition) or 0)
    found = collect([one], 8)
    two = log.subscribe(TRIAGE, "triage", start=lambda partition: 1)
    found = settle([one, two], lambda: len(two.assignment()) == 4, found)
    assert sorted(asked) == sorted(ALL)
    log.append(rows(1))
    found = collect([one, two], 16, found)
    assert places(found) == {(partition, offset) for partition in ALL for offset in (0, 1)}
    one.close()
    two.close()


def test_a_partition_starts_where_the_store_says_each_time_it_is_assigned(open_kafka):
    log, store = open_kafka(), dict.fromkeys(ALL, 0)
    one, two = (log.subscribe(TRIAGE, "triage", start=store.__getitem__) for _ in range(2))
    share(one, two)
    log.append(rows(10))
    collect([one, two], 80)
    moving = two.assignment()
    store.update(dict.fromkeys(moving, 7))
    two.close()
    found = settle([one], lambda: one.assignment() == ALL)
    assert places(collect([one], 12, found)) == {(partition, offset) for partition in moving for offset in (7, 8, 9)}
    one.close()


def test_nothing_is_handed_out_while_the_store_does_not_answer(open_kafka):
    log, broken = open_kafka(), [True]
    log.append([entry(b"a", 3)])

    def start(partition: int) -> int:
        if broken[0]:
            raise Unavailable("the store is away")
        return 0

    member = log.subscribe(TRIAGE, "triage", start)
    with pytest.raises(Unavailable, match="the store is away"):
        settle([member], lambda: False)
    assert member.assignment() == frozenset()
    broken[0] = False
    assert places(collect([member], 1)) == {(3, 0)}
    member.close()


def test_a_zombie_s_commit_changes_nothing_and_it_sees_that_its_partitions_were_gone(open_kafka):
    log = open_kafka(poll_interval_ms=1200, session_ms=1200)
    log.append([entry(b"%d" % n, 5) for n in range(6)])
    zombie = log.subscribe(TRIAGE, "triage")
    collect([zombie], 6)
    heir = log.subscribe(TRIAGE, "triage")
    # The zombie does not poll any more, so the group gives it up.
    settle([heir], lambda: heir.assignment() == ALL)
    heir.commit({5: 2})
    zombie.commit({5: 6})
    heir.close()
    assert zombie.poll(5.0, 100) == []
    assert zombie.assignment() == frozenset()
    found = settle([zombie], lambda: zombie.assignment() == ALL)
    assert places(collect([zombie], 4, found)) == {(5, offset) for offset in (2, 3, 4, 5)}
    zombie.close()


def test_a_paused_partition_stays_paused_when_others_move_and_a_new_one_is_not_paused(open_kafka):
    log = open_kafka()
    one, two = log.subscribe(TRIAGE, "triage"), log.subscribe(TRIAGE, "triage")
    share(one, two)
    own, coming = one.assignment(), two.assignment()
    one.pause(own)
    two.pause(coming)
    two.close()
    settle([one], lambda: one.assignment() == ALL)
    log.append(rows(1))
    assert places(collect([one], 4)) == {(partition, 0) for partition in coming}
    one.resume(own)
    assert places(collect([one], 4)) == {(partition, 0) for partition in own}
    one.close()


def test_an_idle_poll_waits_without_burning_the_processor_and_ends_when_it_is_woken(open_kafka):
    member = open_kafka().subscribe(TRIAGE, "triage")
    share(member)
    before = time.process_time()
    assert member.poll(1.0, 10) == []
    assert time.process_time() - before < 0.5
    threading.Timer(0.1, member.wake).start()
    began = time.monotonic()
    member.poll(20.0, 10)
    assert time.monotonic() - began < 10
    member.close()


# No broker


def test_no_single_try_to_connect_takes_longer_than_an_append_waits():
    with closing(PatientClient(bootstrap_servers="127.0.0.1:1")) as client:
        for _ in range(10):
            client._manager.update_backoff(1)
        assert (
            client._manager.socket_connection_setup_timeout_ms(1)
            <= 1.2 * CONNECT_MS
            < 1000 * KafkaSettings(()).timeout_s
        )


def test_a_question_for_news_that_is_still_open_does_not_end_the_wait_for_its_answer():
    with closing(PatientClient(bootstrap_servers="127.0.0.1:1")) as client:
        first = client.cluster.request_update()
        waiting = len(client._net._ready)
        assert client.cluster.request_update() is first and len(client._net._ready) == waiting
        client.cluster.failed_update(KafkaTimeoutError())
        assert client.cluster.request_update() is not first and len(client._net._ready) > waiting


def test_no_broker_at_all_is_unavailable_in_words():
    with pytest.raises(
        Unavailable, match=r"no way into Kafka: 127.0.0.1:1: nothing answers there \(Connection refused\)"
    ):
        KafkaLog("kafka://127.0.0.1:1?timeout_s=1")


@pytest.mark.parametrize("kind", [KafkaAdminClient, KafkaConsumer, KafkaProducer])
def test_a_client_that_reaches_no_broker_leaves_no_thread_behind(kind):
    """Services wait for Kafka by trying again every second, for hours if need be."""
    before = set(threading.enumerate())
    with pytest.raises(KafkaTimeoutError):
        opened(kind, **parse("kafka://127.0.0.1:1?timeout_s=1").connection())
    assert not set(threading.enumerate()) - before


# Topics


@pytest.fixture
def admin(bootstrap):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    yield client
    client.close()


def test_topics_are_made_as_the_table_says(open_kafka, kafka_url, admin):
    from kafka.admin import ConfigResource

    open_kafka().append([entry(b"a", topic=LABEL)])
    for topic in (FACTS, LABEL):
        name = parse(kafka_url).prefix + topic.name
        (described,) = admin.describe_topics([name])
        assert len(described["partitions"]) == topic.partitions
        configs = admin.describe_configs([ConfigResource("TOPIC", name)], config_filter="all")["topic"][name]
        assert {key: configs[key]["value"] for key in settings_of(topic)} == settings_of(topic)
    assert settings_of(FACTS)["retention.ms"] == "-1"
    assert settings_of(LABEL)["retention.ms"] == str(7 * 86_400_000)


@pytest.mark.parametrize(
    ("partitions", "changed", "says"),
    [
        (3, {}, "3 partitions and needs 24.*kafka-topics.sh .* --alter --partitions 24"),
        (25, {}, "25 partitions and must have 24.*--delete"),
        (24, {"message.timestamp.type": "CreateTime"}, "kafka-configs.sh .*--add-config message.timestamp.type=LogApp"),
        (24, {"retention.ms": "1000"}, "retention.ms=1000.*--add-config retention.ms=-1"),
        (24, {"cleanup.policy": "compact"}, "cleanup.policy=compact.*--add-config cleanup.policy=delete"),
    ],
)
def test_a_fact_topic_that_would_not_keep_the_facts_is_refused_with_the_remedy(
    kafka_url, admin, partitions, changed, says
):
    name = parse(kafka_url).prefix + FACTS.name
    configs = settings_of(FACTS) | changed
    admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1, "configs": configs}})
    admin.wait_for_topics([name])
    with pytest.raises(InvalidInput, match=f"{name} .*{says}"):
        KafkaLog(kafka_url)


def test_a_fact_topic_made_anew_is_another_log(open_kafka, kafka_url, admin):
    first = open_kafka().log_id
    assert open_kafka().log_id == first
    name = parse(kafka_url).prefix + FACTS.name
    admin.delete_topics([name])
    for _ in range(5000):
        if admin.describe_topics([name])[0]["partitions"] == []:
            break
    assert open_kafka().log_id != first


def test_several_services_that_start_at_once_make_the_topics_once(kafka_url):
    ids, errors = [], []

    def start() -> None:
        try:
            log = KafkaLog(kafka_url)
            ids.append(log.log_id)
            log.close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(ids) == 4 and len(set(ids)) == 1


# Records


def test_a_record_over_the_limit_is_refused_in_words_and_nothing_of_its_batch_is_appended(open_kafka):
    log = open_kafka()
    with pytest.raises(InvalidInput, match=r"a record of 1,000,004 bytes for concord.work.triage.v1 is over the"):
        log.append([entry(b"small"), entry(b"x" * 1_000_001)])
    assert log.end(TRIAGE, 0) == 0
    log.append([entry(b"x" * 999_000)])
    assert len(log.read(TRIAGE, 0, 0, 10)[0].value) == 999_000


def test_a_work_topic_may_grow_and_work_goes_to_all_of_it(open_kafka, kafka_url, admin):
    open_kafka().append([entry(b"first")])
    admin.create_partitions({parse(kafka_url).prefix + TRIAGE.name: TRIAGE.partitions + 4})
    log = open_kafka()
    assert log.partitions(TRIAGE) == TRIAGE.partitions + 4
    log.append([entry(b"last", TRIAGE.partitions + 3)])
    assert sorted(record.value for record in log.waiting(TRIAGE, "triage")) == [b"first", b"last"]


def test_reading_goes_over_what_retention_took_away(open_kafka, kafka_url, admin):
    log = open_kafka()
    log.append([entry(b"%d" % n) for n in range(10)])
    place = TopicPartition(parse(kafka_url).prefix + TRIAGE.name, 0)
    admin.delete_records({place: 6})
    assert [r.offset for r in log.read(TRIAGE, 0, 2, 100)] == [6, 7, 8, 9]
    admin.delete_records({place: 10})
    assert list(log.read(TRIAGE, 0, 2, 100)) == []
    log.append([entry(b"next")])
    assert [r.offset for r in log.read(TRIAGE, 0, 2, 100)] == [10]


def test_reading_on_in_pieces_from_many_threads_gives_each_record_once(open_kafka):
    log = open_kafka()
    log.append([entry(b"%d" % n, n % 4) for n in range(4000)])
    found = {}

    def read(partition: int) -> None:
        offset, values = 0, []
        while records := log.read(TRIAGE, partition, offset, 70):
            values += [int(r.value) for r in records]
            offset = records[-1].offset + 1
        found[partition] = values

    threads = [threading.Thread(target=read, args=(partition,)) for partition in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {partition: list(range(partition, 4000, 4)) for partition in range(4)}


def test_readers_that_nobody_used_for_minutes_are_closed_when_another_is_lent(open_kafka, kafka_url):
    open_kafka().append(rows(3))
    settings, now = parse(kafka_url), [0.0]
    others, readers = set(threading.enumerate()), Readers(settings, lambda: now[0])
    places = [TopicPartition(settings.prefix + TRIAGE.name, partition) for partition in range(4)]

    def threads() -> int:
        return len(set(threading.enumerate()) - others)

    with ExitStack() as together:
        for reader, place in [(together.enter_context(readers.lent(place, 0)), place) for place in places]:
            assert [record.value for record in reader.read(place, 0, 1)] == [b"0"]
    assert threads() == 4
    now[0] = UNUSED_S
    with readers.lent(places[2], 1) as stays:
        assert [record.value for record in stays.read(places[2], 1, 1)] == [b"1"]
    assert threads() == 4
    now[0] = UNUSED_S + 1
    with readers.lent(places[0]) as asked:
        assert asked is stays and asked.end(places[0]) == 3
    assert threads() == 1
    now[0] = 10 * UNUSED_S
    with readers.lent(places[2], 2) as asked:
        assert asked is stays and [record.value for record in asked.read(places[2], 2, 1)] == [b"2"]
    readers.close()
    assert threads() == 0


# The URL


def test_the_url_gives_brokers_and_options():
    assert parse("kafka://a:1,b:2?replication=3&prefix=x.&security=SSL&ca_file=/ca.pem") == KafkaSettings(
        ("a:1", "b:2"), prefix="x.", replication=3, security="SSL", ca_file="/ca.pem"
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka://", "is no Kafka address; write kafka://host:port"),
        ("kafka://host", "is no Kafka address"),
        (
            "kafka://user:secret@host:1",
            "^kafka://host:1: a user or password stands before the address.*password_file=PATH",
        ),
        ("kafka://user:sec/ret@host:1", "^kafka://host:1: a user or password stands before the address"),
        ("kafka://host:1?replicas=3", "there is no option 'replicas'; there are prefix, replication"),
        ("kafka://host:1?replication=many", "replication must be a whole number above 0, not 'many'"),
    ],
)
def test_a_wrong_url_is_refused_with_the_right_form(url, says):
    with pytest.raises(InvalidInput, match=says):
        parse(url)


def test_a_password_comes_from_a_file_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "secret").write_text("pw\n")
    settings = parse(f"kafka://host:1?security=SASL_SSL&user=judge&password_file={tmp_path}/secret")
    assert settings.connection()["sasl_plain_password"] == "pw"
    assert "pw" not in repr(settings)
    with pytest.raises(InvalidInput, match="password_file '/nowhere' cannot be read"):
        parse("kafka://host:1?security=SASL_SSL&user=judge&password_file=/nowhere").connection()
