"""KEDA's own operator on a real API server turns labeling on where work waits in a real Kafka topic, and off again.

The ScaledObject is the project's, but for its clocks. Replicas are only counted: no container runs, so this process takes
the work as the group `labeling`. More than one replica needs KEDA's metrics server, which is not run here.
"""

import json
import os
import subprocess
from pathlib import Path

from services.kit import topics
from services.kit.kafka_log import KafkaLog
from services.kit.log import Entry
from tests.broker import Broker, free_port, start_broker
from tests.control_plane import TOOLS, ControlPlane, wait
from tests.manifests import built, of_kind

OPERATOR = "keda-operator"
# Instead of 10 and 300 s.
POLL_S, COOL_DOWN_S = 2, 5
UNITS = 40
GROUP = "labeling"


def is_built() -> bool:
    return os.access(TOOLS / OPERATOR, os.X_OK)


def work_turns_labeling_on_and_off(plane: ControlPlane, folder: Path) -> None:
    """0 replicas without work, 1 where units wait, 0 once all are committed."""
    broker = start_broker(folder / "kafka")
    log = KafkaLog(f"kafka://{broker.bootstrap}")
    try:
        # The topic is made by its first user, which labeling is where it starts with one replica.
        log.end(topics.LABEL, 0)
        _apply(plane, broker)
        _start_operator(plane, folder)
        wait("labeling is turned off", lambda: replicas(plane) == 0)
        entries = [Entry(topics.LABEL, n % topics.LABEL.partitions, b"", b"a unit") for n in range(UNITS)]
        log.append(entries)
        wait("waiting units turn labeling on", lambda: replicas(plane) == 1)
        _take(log)
        wait("labeling is turned off when nothing waits", lambda: replicas(plane) == 0)
    finally:
        log.close()
        broker.stop()


def replicas(plane: ControlPlane) -> int:
    return plane.get("deployment", "labeling")["spec"]["replicas"]


def _apply(plane: ControlPlane, broker: Broker) -> None:
    """Labeling and its autoscaler as prod has them, in a hurry, with this broker."""
    deployment = of_kind("Deployment", built("prod"))["labeling"]
    scaled = of_kind("ScaledObject", built("prod"))["labeling"]
    scaled["spec"] |= {"pollingInterval": POLL_S, "cooldownPeriod": COOL_DOWN_S}
    for trigger in scaled["spec"]["triggers"]:
        trigger["metadata"].pop("bootstrapServersFromEnv")
        trigger["metadata"]["bootstrapServers"] = broker.bootstrap
        trigger.pop("authenticationRef", None)
        for name in ("tls", "sasl"):
            trigger["metadata"].pop(name, None)
    plane.do("apply", "-f", "-", given=json.dumps(deployment))
    plane.do("apply", "--validate=strict", "-f", "-", given=json.dumps(scaled))


def _start_operator(plane: ControlPlane, folder: Path) -> None:
    certificates = folder / "keda"
    certificates.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=keda", "-keyout",
         certificates / "tls.key", "-out", certificates / "tls.crt"], check=True, capture_output=True,
    )  # fmt: skip
    (certificates / "ca.crt").write_bytes((certificates / "tls.crt").read_bytes())
    plane.do("create", "namespace", "keda")
    names = {"KEDA_CLUSTER_OBJECT_NAMESPACE": "keda", "POD_NAMESPACE": "keda", "WATCH_NAMESPACE": ""}
    plane.start(
        OPERATOR, f"--kubeconfig={plane.kubeconfig}", f"--cert-dir={certificates}", "--enable-cert-rotation=false",
        f"--metrics-bind-address=127.0.0.1:{free_port()}", f"--health-probe-bind-address=127.0.0.1:{free_port()}",
        f"--metrics-service-bind-address=127.0.0.1:{free_port()}", environment=names,
    )  # fmt: skip


def _take(log: KafkaLog) -> None:
    """All units, as a replica of labeling takes and commits them."""
    consumer = log.subscribe(topics.LABEL, GROUP)
    try:
        taken = 0
        while taken < UNITS:
            records = consumer.poll(1.0, UNITS)
            taken += len(records)
            if records:
                consumer.commit({record.partition: record.offset + 1 for record in records})
    finally:
        consumer.close()
