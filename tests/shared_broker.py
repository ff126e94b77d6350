"""One Kafka broker for all workers of a parallel session (`pytest -n 4`), rather than one for each.

A plugin of pytest's; `tests/conftest.py` registers it. The process that controls the workers starts the broker while they
read the tests, and ends it when they are done; each worker is told the address.
"""

import shutil
import tempfile
from pathlib import Path

import pytest

from deploy.local import broker


class SharedBroker:
    """The broker of the session, held by the controlling process."""

    def __init__(self) -> None:
        self._port = broker.free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="concord-kafka-"))
        self._running: broker.Broker | None = None

    def pytest_configure_node(self, node):
        """Each worker hears of the broker before there is one: the worker's first test comes after it."""
        node.workerinput["bootstrap"] = f"127.0.0.1:{self._port}"

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionstart(self, session):
        """Once the workers were begun."""
        done = yield
        self._running = broker.start_broker(self._folder, self._port)
        return done

    def pytest_unconfigure(self, config):
        """The workers are gone."""
        if self._running is not None:
            self._running.stop()
        shutil.rmtree(self._folder)


def controls_workers(config: pytest.Config) -> bool:
    """Whether this process has workers to hand tests to."""
    return not hasattr(config, "workerinput") and bool(getattr(config.option, "numprocesses", None))
