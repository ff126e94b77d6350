"""Fixtures that several files share: one for each seam, giving every implementation in turn."""
from uuid import uuid4

import pytest
from hypothesis import settings

from services.kit.sqlite_log import SqliteLog
from tests.broker import start_broker
from tests.simulation.memory_log import Broker, MemoryLog

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def broker(tmp_path_factory):
    """One Kafka broker for all tests; without Java or Maven the tests that use it fail and say what to install."""
    running = start_broker(tmp_path_factory.mktemp("kafka"))
    yield running
    running.stop()


@pytest.fixture
def kafka_url(broker):
    """A world of its own on the broker: no other test sees its topics and groups."""
    return f"kafka://{broker.bootstrap}?prefix=test-{uuid4().hex[:8]}."


@pytest.fixture
def open_kafka(kafka_url):
    """A function that opens the same log on Kafka each time, with further options if wanted (`session_ms=2000`)."""
    from services.kit.kafka_log import KafkaLog

    opened = []

    def open_again(**options) -> KafkaLog:
        url = kafka_url + "".join(f"&{name}={value}" for name, value in options.items())
        opened.append(KafkaLog(url))
        return opened[-1]

    yield open_again
    for log in opened:
        log.close()


@pytest.fixture(params=["sqlite", "memory", "kafka"])
def open_log(request, tmp_path):
    """A function that opens the same log each time it is called within a test."""
    if request.param == "memory":
        shared = Broker()
        return lambda: MemoryLog(shared)
    if request.param == "kafka":
        return request.getfixturevalue("open_kafka")
    return lambda: SqliteLog(tmp_path / "log.db")
