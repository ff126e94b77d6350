"""A way round four faults of kafka-python (3.0.12), by which an outage costs more than the outage.

1. A connection that is made, and lost before the broker said anything, counts as a success: where a relay or a load balancer
   stands before a broker that is away, each client knocks some 500 times a second.
2. A producer asks for news about a partition without a leader at each turn of its loop, and each question ends its wait.
3. It takes the pause until the next try for milliseconds, where it is seconds, and makes none while it connects.
4. After some refused connections a single try to connect may take 36 s, longer than an append waits.

The first three keep half a core busy for each process, and a broker that starts on the same machine starts four times as slowly.
Private names are used here; `tests/test_kafka_log.py` fails when they move.
"""

from typing import Any

from kafka.cluster import ClusterMetadata
from kafka.future import Future
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

# Of one try to connect, give or take a fifth.
CONNECT_MS = 10_000
# The producer looks again after so long at the latest; news ends the wait sooner.
LOOK_MS = 50


class PatientMetadata(ClusterMetadata):
    """Hears a question once: what is asked already is asked again by its own clock until there is an answer."""

    def request_update(self) -> Future:
        asked = self._future
        if self._need_update and asked is not None and not asked.is_done:
            return asked
        return super().request_update()


class PatientManager(KafkaConnectionManager):
    """Knocks with growing pauses until a broker has said who it is."""

    def __init__(self, net: NetworkSelector, **given: Any) -> None:
        super().__init__(net, **given)
        names = ("bootstrap_servers", "metadata_max_age_ms", "client_dns_lookup")
        self.cluster = PatientMetadata(**{name: self.config[name] for name in names})
        self.cluster.attach(self)

    def reset_backoff(self, node_id: Any) -> None:
        """Called when a connection is there and, wrongly, when it was lost in its first exchange."""
        connection = self._conns.get(node_id)
        # Under this name the pauses between questions for metadata are kept, which belong to no connection.
        if node_id == "metadata" or (connection is not None and connection.connected):
            super().reset_backoff(node_id)
        else:
            self.update_backoff(node_id)


class PatientClient(KafkaNetClient):
    """What consumers and admin clients are given as their `kafka_client`."""

    def __init__(self, **given: Any) -> None:
        given["socket_connection_setup_timeout_max_ms"] = CONNECT_MS
        net = NetworkSelector(**given)
        super().__init__(net, PatientManager(net, **given), **given)


class ProducerClient(PatientClient):
    """The same for a producer, whose thread asks how long it shall wait for news."""

    def connection_delay(self, node_id: Any) -> float:
        """Milliseconds, not seconds as everywhere else."""
        return max(1000 * super().connection_delay(node_id), LOOK_MS)
