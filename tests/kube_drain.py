"""A node with a GPU is drained while a training is at work on it: the pod goes to another node, and the training goes on there.

No container runs here, so a process of the training service plays the pod: it is told to end once the pod was evicted, and another
one is started once the scheduler has found the new pod a node. Its unit is far longer than its grace.
"""

import signal
from pathlib import Path
from tempfile import TemporaryDirectory

from concord.kit.ids import run_id, uri_of, work_id
from concord.kit.log import Entry
from concord.kit.log.topics import FACTS, TRAIN, fact_partition
from concord.kit.settings import from_environment, open_log
from concord.v1.events_pb2 import Event, Stage
from concord.v1.work_pb2 import Work
from deploy.local.broker import start_broker
from tests.control_plane import ControlPlane, wait
from tests.long_training import START, after
from tests.test_long_training import INTERVALS, Group

RUN = run_id("a training on a drained node", b"")
GRACE_S = 0.5


def a_training_survives_the_drain_of_its_node(plane: ControlPlane) -> None:
    """Not more than one interval is done twice, and what comes of it is what an undisturbed training gives."""
    with TemporaryDirectory() as folder:
        broker = start_broker(Path(folder) / "kafka")
        try:
            said, begun, first = _drained(plane, Path(folder), f"kafka://{broker.bootstrap}?replication=1")
        finally:
            broker.stop()
    state = START
    for _ in range(INTERVALS):
        state = after(state)
    assert [event.final_trained.model_uri for event in said] == [uri_of(state)]
    intervals = [number for _, number in begun]
    assert set(intervals) == set(range(1, INTERVALS + 1)) and len(intervals) <= INTERVALS + 1, intervals
    assert {pid for pid, _ in begun} > {first}, "one process did it all"


def _drained(plane: ControlPlane, folder: Path, log_url: str) -> tuple[list[Event], list[tuple[int, int]], int]:
    """The unit's facts, who began which interval, and who was the first."""
    (pod,) = _pods(plane)
    log, group = open_log(from_environment({"CONCORD_LOG_URL": log_url}, home=str(folder))), Group(folder, log_url)
    work = Work(run_id=RUN, unit={"stage": Stage.STAGE_FINAL, "number": 0}, train_final={})
    work.work_id = work_id(RUN, work.unit)
    try:
        playing = group.add(GRACE_S)
        log.append([Entry(TRAIN, 3, b"", work.SerializeToString())])
        group.wait(lambda: len(group.begun()) >= 5)
        drain = ("drain", pod["spec"]["nodeName"], "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=400s")
        plane.do(*drain)
        playing.send_signal(signal.SIGTERM)
        assert playing.wait(20) == 0
        wait("the pod has another node", lambda: [one for one in _pods(plane) if _elsewhere(one, pod)])
        group.add(GRACE_S)
        group.wait(lambda: log.end(FACTS, fact_partition(RUN)) > 0)
        said = [Event.FromString(record.value) for record in log.read(FACTS, fact_partition(RUN), 0, 10)]
        return said, group.begun(), playing.pid
    finally:
        plane.do("uncordon", pod["spec"]["nodeName"])
        group.end()
        log.close()


def _elsewhere(pod: dict, before: dict) -> bool:
    node = pod["spec"].get("nodeName")
    return node is not None and node != before["spec"]["nodeName"]


def _pods(plane: ControlPlane) -> list[dict]:
    found = plane.get("pods", "-l", "app.kubernetes.io/name=training")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
