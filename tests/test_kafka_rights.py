"""Each service its own user on a real broker, with the rights that deploy/kafka/rights.py gives it and no other."""

from contextlib import ExitStack

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from concord.client.run import drive, options
from concord.kit import rpc
from concord.kit.errors import ConcordError
from concord.kit.log import Entry
from concord.kit.log.kafka.log import KafkaLog
from concord.kit.log.topics import ALL
from concord.kit.settings import from_environment
from concord.process import Running
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.wiring import SERVICES
from deploy.kafka.rights import RIGHTS, commands, groups, strimzi, topics
from tests import the_sample
from tests.secure_broker import certificate, start_secure_broker
from tests.test_services import new_run

pytestmark = pytest.mark.slow
PREFIX = "mine."
OPERATIONS = {
    "Describe": ACLOperation.DESCRIBE,
    "DescribeConfigs": ACLOperation.DESCRIBE_CONFIGS,
    "Read": ACLOperation.READ,
    "Write": ACLOperation.WRITE,
}


@pytest.fixture(scope="module")
def broker(kafka_jars, tmp_path_factory):
    """With all topics made, and a certificate and rights for each service."""
    started = start_secure_broker(tmp_path_factory.mktemp("rights"))
    log = KafkaLog(f"kafka://127.0.0.1:{started.running.port}?prefix={PREFIX}")
    for topic in ALL:
        log.end(topic, 0)
    log.close()
    admin = KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{started.running.port}")
    for service in RIGHTS:
        certificate(started.tls, f"concord-{service}", "ca")
    made = admin.create_acls(
        [
            ACL(f"User:{user['metadata']['name']}", "*", OPERATIONS[operation], ACLPermissionType.ALLOW, pattern)
            for user in yaml.safe_load_all(strimzi(PREFIX))
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
            for pattern in [ResourcePattern(ResourceType[acl["resource"]["type"].upper()], acl["resource"]["name"])]
        ]
    )
    assert not made["failed"]
    admin.close()
    yield started
    started.running.stop()


def url(broker, service: str) -> str:
    return f"{broker.mtls(f'concord-{service}')}&prefix={PREFIX}&timeout_s=5"


def test_every_service_has_rights_and_both_forms_say_the_same():
    assert set(RIGHTS) == set(SERVICES)
    lines = commands("p.", "b:1").splitlines()
    assert len(lines) == sum(len(topics(service)) + len(groups(service)) for service in RIGHTS)
    assert not [line for line in lines if "Create" in line or "--topic concord" in line]


def test_with_these_rights_a_run_comes_to_its_end(broker, tmp_path):
    rows = the_sample.given().rows[:60]
    run_id = new_run("with rights")
    with ExitStack() as stack:
        doors = {}
        for service in SERVICES:
            settings = from_environment(
                {}, home=str(tmp_path), log_url=url(broker, service), listen="127.0.0.1:0", processes=0
            )
            doors[service] = Running([service], settings)
            stack.callback(doors[service].stop)
        channel = stack.enter_context(rpc.channel(doors["runs"].address))
        runs = RunServiceStub(channel)
        asked = options.resolve({"judge": "sample", "budget": "0", "method": "none", "shard_pairs": 32})
        config = options.run_config(asked, None)
        drive.begin(runs, run_id, config, [row.pair for row in rows], "0" * 64, "the sample's first pairs")
        view = drive.watch(runs, run_id, None, lambda view: None)
    assert view.status == pb.RUN_STATUS_FINISHED, view.detail


@pytest.mark.parametrize("service", RIGHTS)
def test_a_service_appends_and_reads_nothing_else(broker, service):
    log, allowed = KafkaLog(url(broker, service)), topics(service)
    for topic in ALL:
        may = allowed.get(topic.name, [])
        assert can(lambda topic=topic: log.append([Entry(topic, topic.partitions - 1, b"x", b"x")])) == ("Write" in may)
        assert can(lambda topic=topic: log.read(topic, topic.partitions - 1, 0, 1)) == ("Read" in may), topic.name
    log.close()


def can(do) -> bool:
    try:
        do()
    except ConcordError:
        return False
    return True
