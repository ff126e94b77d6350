"""Fixtures that several files share: one for each seam, giving every implementation in turn."""

import os
import shutil
import tempfile
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from concord.kit.log.sqlite import SqliteLog
from deploy.local import broker
from deploy.local import s3 as s3_servers
from deploy.local.postgres import start_postgres
from tests import shared_broker, skips
from tests.simulation.memory_log import Broker, MemoryLog

# How long an example takes says how busy the machine is, and nothing else.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
# Of 17,000 below those of outgoing connections.
PORTS_EACH = 2_000


def pytest_configure(config):
    """Skips are counted, and the workers of a parallel session share one broker; TRL's tests need none and have no Java.

    Each worker draws its ports from a range of its own: a server that is long in starting lost its port to another worker's.
    """
    first = 15_000 + PORTS_EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8)
    os.environ[broker.PORTS] = f"{first}-{first + PORTS_EACH - 1}"
    config.pluginmanager.register(skips, "skips")
    asks = config.option.markexpr != "trl"
    if asks and shared_broker.controls_workers(config) and not broker.missing():
        config.pluginmanager.register(shared_broker.SharedBroker(), "shared-broker")


@pytest.fixture(scope="session")
def kafka_jars():
    """Whoever starts a broker asks for this: where its jars cannot be had, the test is skipped and says what to install."""
    if why := broker.missing():
        pytest.skip(why)


@pytest.fixture(scope="session")
def bootstrap(request, kafka_jars, tmp_path_factory):
    """host:port of the one Kafka broker for all tests; nobody may kill it."""
    shared = getattr(request.config, "workerinput", {}).get("bootstrap")
    if shared:
        yield shared
        return
    running = broker.start_broker(tmp_path_factory.mktemp("kafka"))
    yield running.bootstrap
    running.stop()


@pytest.fixture
def kafka_url(bootstrap):
    """A world of its own on the broker: no other test sees its topics and groups."""
    return f"kafka://{bootstrap}?prefix=test-{uuid4().hex[:8]}."


@pytest.fixture
def open_kafka(kafka_url):
    """A function that opens the same log on Kafka each time, with further options if wanted (`session_ms=2000`)."""
    from concord.kit.log.kafka.log import KafkaLog

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


@pytest.fixture(scope="session")
def postgres():
    """One PostgreSQL for all tests of a process, which may kill it, in a folder that its own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="concord-postgres-"))
    running = start_postgres(folder)
    yield running
    running.kill()
    shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres):
    """A database of its own: no other test sees its tables."""
    postgres.restart()
    return postgres.url(postgres.make_database())


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    """One imitation of S3 for all tests of a process."""
    running = s3_servers.start_s3("moto", tmp_path_factory.mktemp("moto"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def versity(tmp_path_factory):
    """One real S3 server for all tests of a process, where it was built."""
    if not s3_servers.VERSITY.exists():
        pytest.skip("VersityGW is not built: `make s3`")
    running = s3_servers.start_s3("versity", tmp_path_factory.mktemp("versity"))
    yield running
    running.stop()


@pytest.fixture
def s3_keys(monkeypatch):
    """The environment of a process that may use the tests' S3 servers."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    given = {"AWS_ACCESS_KEY_ID": s3_servers.KEY, "AWS_SECRET_ACCESS_KEY": s3_servers.SECRET, **s3_servers.ALONE}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture(params=["moto", "versity"])
def s3(request, s3_keys):
    """Each S3 server in turn, and the keys to it in the environment."""
    server = request.getfixturevalue(request.param)
    server.restart()
    return server


@pytest.fixture
def s3_url(s3):
    """A prefix of its own: no other test sees its objects."""
    return s3.url(f"test-{uuid4().hex[:8]}")


@pytest.fixture
def some_s3(request, s3_keys):
    """The real S3 server where it is built, else the imitation."""
    server = request.getfixturevalue("versity" if s3_servers.VERSITY.exists() else "moto")
    server.restart()
    return server


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    return broker.free_port()
