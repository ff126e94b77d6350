"""A broker that dies, hangs or is away: each test here has its own, since others would go down with it."""

import os
import signal
import socketserver
import threading
import time

import pytest

from concord.kit.errors import Unavailable
from concord.kit.log.topics import TRIAGE
from deploy.local.broker import start_broker
from tests.members import entry, settle, share

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def broker(kafka_jars, tmp_path_factory):
    """One for this module, to be killed at will."""
    running = start_broker(tmp_path_factory.mktemp("kafka-to-kill"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def bootstrap(broker):
    """What the fixtures for Kafka take, so that their worlds are on this broker."""
    return broker.bootstrap


def test_a_broker_that_is_killed_amid_appends_loses_nothing_and_doubles_nothing(open_kafka, broker):
    log = open_kafka()
    member = log.subscribe(TRIAGE, "triage")
    share(member)
    acked, failed, stop = [], [], threading.Event()

    def say(name: int) -> None:
        while not stop.is_set():
            values = [b"%d/%d" % (name, len(acked) + n) for n in range(20)]
            try:
                offsets = log.append([entry(value, name) for value in values])
                acked.extend(zip([name] * 20, offsets, values, strict=True))
            except Unavailable as error:
                failed.append(error)

    def until(count: int) -> list:
        found = []
        while len(acked) < count and not failed:
            found += member.poll(0.1, 1000)
        return found

    threads = [threading.Thread(target=say, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    try:
        seen = until(500)
        broker.kill()
        broker.restart()
        seen += until(len(acked) + 500)
    finally:
        broker.restart()
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    for name in range(3):
        mine = [(offset, value) for partition, offset, value in acked if partition == name]
        assert [(r.offset, r.value) for r in log.read(TRIAGE, name, 0, len(acked))] == mine
    while len(seen) < len(acked):
        seen += (settle([member], lambda: True) and []) or member.poll(0.1, 1000)
    assert sorted((r.partition, r.offset) for r in seen) == sorted((p, o) for p, o, _ in acked)
    member.close()


def test_an_outage_longer_than_the_patience_is_unavailable_in_words_and_passes(open_kafka, broker):
    log = open_kafka(timeout_s=1)
    log.append([entry(b"before", 0)])
    broker.kill()
    try:
        with pytest.raises(Unavailable, match=rf"Kafka at {broker.bootstrap} \(security=PLAINTEXT\) does not answer"):
            log.append([entry(b"during", 0)])
        with pytest.raises(Unavailable, match="does not answer"):
            log.read(TRIAGE, 0, 0, 10)
    finally:
        broker.restart()
    for _ in range(20):
        try:
            log.append([entry(b"after", 0)])
            break
        except Unavailable:
            continue
    values = [r.value for r in log.read(TRIAGE, 0, 0, 10)]
    assert values[0] == b"before" and values[-1] == b"after"


def test_a_record_that_expired_after_it_was_sent_does_not_end_all_appends_of_its_process(open_kafka, broker):
    log = open_kafka(timeout_s=3)
    log.append([entry(b"before", 0)])
    # What is sent now lies at a broker that does not answer, is sent again to one that is gone, and expires.
    os.kill(broker.pid, signal.SIGSTOP)
    crash = threading.Timer(1.0, broker.kill)
    crash.start()
    try:
        with pytest.raises(Unavailable, match="does not answer"):
            log.append([entry(b"during", 0)])
    finally:
        crash.join()
        broker.restart()
    for _ in range(10):
        try:
            log.append([entry(b"after", 0)])
            break
        except Unavailable:
            continue
    assert log.read(TRIAGE, 0, 0, 10)[-1].value == b"after"


class ClosedDoor(socketserver.ThreadingTCPServer):
    """What a relay or load balancer is while there is no broker behind it: it takes each connection, and ends it."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler)
        self.knocks = 0
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def process_request(self, request, client_address) -> None:
        self.knocks += 1
        self.shutdown_request(request)

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        super().__exit__(*error)


def test_a_relay_without_its_broker_is_knocked_at_with_pauses_and_the_wait_costs_little(open_kafka, broker):
    log = open_kafka(timeout_s=4)
    member = log.subscribe(TRIAGE, "triage")
    share(member)
    broker.kill()
    try:
        with ClosedDoor(broker.port) as door:
            before, began = time.process_time(), time.monotonic()
            with pytest.raises(Unavailable, match="does not answer"):
                log.append([entry(b"during")])
            assert member.poll(0.5, 10) == []
            busy = (time.process_time() - before) / (time.monotonic() - began)
    finally:
        broker.restart()
    # Without the pauses each client knocks some 500 times a second, and three quarters of a core go with it.
    assert door.knocks < 100
    assert busy < 0.4
    member.close()
