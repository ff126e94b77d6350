"""gRPC over TLS: who is let in, who may call what, and whom a fact says that it is of. A real server, real certificates."""

import json
import re
import shutil
import ssl
import subprocess
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf import json_format, message_factory

from concord.client.run import options
from concord.kit import rpc, secure
from concord.kit.caller import HEADER, acting_for
from concord.kit.errors import InvalidInput
from concord.kit.settings import from_environment
from concord.preference.rights import ANSWER, FOR_OTHERS, MAY_APPEND, MAY_CALL
from concord.process import Running
from concord.runs.cancelled import Cancelled, at_door
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.v1.tasks_service_pb2 import GetQueueRequest, NextTasksRequest
from concord.v1.tasks_service_pb2_grpc import TaskServiceStub
from concord.wiring import SERVICES
from tests.secure_broker import certificate
from tests.test_asking import facts_of
from tests.test_manifests import PROTOS
from tests.test_services import new_run

ROOT = Path(__file__).parent.parent
PEOPLE = ("annotator", "viewer", "operator", "admin")
RPCS = [
    (service.full_name, method)
    for module in PROTOS.values()
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


class Place:
    """All services behind TLS, and everybody's certificates."""

    def __init__(self, folder: Path) -> None:
        self.home, self.tls = folder / "home", folder / "tls"
        self.tls.mkdir()
        for name in ("ca", "stranger"):
            certificate(self.tls, name, name)
        certificate(self.tls, "server", "ca", hosts=SERVICES)
        certificate(self.tls, "impostor", "stranger", "admin/ann")
        for role in (*MAY_CALL, "king"):
            certificate(self.tls, role, "ca", f"{role}/ann" if role in PEOPLE else role)
        listen = f"tls://127.0.0.1:0?{self.files('server')}"
        self.running = Running(list(SERVICES), from_environment({}, home=str(self.home), processes=0, listen=listen))

    def files(self, name: str) -> str:
        own = f"&cert_file={self.tls}/{name}.crt&key_file={self.tls}/{name}.key" if name else ""
        return f"ca_file={self.tls}/ca.crt{own}"

    def address(self, name: str) -> str:
        """The front door for whoever has this certificate; empty: for somebody without one."""
        return f"tls://127.0.0.1:{self.running.port}?{self.files(name)}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("tls"))
    yield made
    made.running.stop()


def status_of(channel: grpc.Channel, service: str, method) -> grpc.StatusCode:
    """What an empty request comes to."""
    request = message_factory.GetMessageClass(method.input_type)()
    answer = message_factory.GetMessageClass(method.output_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(f"/{service}/{method.name}", request.SerializeToString, answer.FromString)
    try:
        said = call(request, timeout=20)
        if method.server_streaming:
            next(iter(said), None)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("role", MAY_CALL)
def test_a_role_may_call_what_the_table_says_and_nothing_else(place, role):
    with rpc.channel(place.address(role)) as channel:
        for service, method in RPCS:
            denied = status_of(channel, service, method) is grpc.StatusCode.PERMISSION_DENIED
            assert denied == (method.name not in MAY_CALL[role]), f"{role}: {method.name}"


def test_every_rpc_is_somebody_s_and_the_table_names_no_other():
    known = {method.name for _, method in RPCS}
    assert set.union(*map(set, MAY_CALL.values())) == known
    assert len(RPCS) == len(known)
    assert MAY_CALL["admin"] == known
    assert set(SERVICES) <= set(MAY_CALL)


def test_whoever_has_no_certificate_or_a_stranger_s_is_not_let_in(place):
    stranger = place.address("").replace(f"{place.tls}/ca.crt", f"{place.tls}/stranger.crt")
    plain = f"127.0.0.1:{place.running.port}"
    for address in (place.address(""), place.address("impostor"), stranger, plain):
        with rpc.channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            RunServiceStub(channel).ListRuns(pb.ListRunsRequest(), timeout=2)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), address


def test_a_role_that_nobody_knows_may_do_nothing_and_hears_which_there_are(place):
    with rpc.channel(place.address("king")) as channel, pytest.raises(grpc.RpcError) as caught:
        RunServiceStub(channel).ListRuns(pb.ListRunsRequest())
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "'king'" in caught.value.details() and "operator" in caught.value.details()


def test_the_door_is_believed_who_calls_and_nobody_else_is(place):
    """What nginx passes on: the common name of whom it let in."""

    def ask(role: str, caller: str) -> tuple[grpc.StatusCode, str]:
        with rpc.channel(place.address(role)) as channel:
            metadata = [(HEADER, caller)] if caller else []
            try:
                RunServiceStub(channel).ListRuns(pb.ListRunsRequest(), metadata=metadata)
            except grpc.RpcError as error:
                return error.code(), error.details()
        return grpc.StatusCode.OK, ""

    assert ask("door", "viewer/ann")[0] is grpc.StatusCode.OK
    for caller in ("annotator/ann", "scoring", "king", "door", ""):
        assert ask("door", caller)[0] is grpc.StatusCode.PERMISSION_DENIED, caller
    status, why = ask("scoring", "admin/ann")
    assert status is grpc.StatusCode.PERMISSION_DENIED and "cannot call for others" in why


def test_the_pages_say_for_whom_they_call_and_nobody_else_may(place):
    """What an operator does on a page is the operator's in the facts; the rights stay those of the pages."""
    run_id = new_run("pages")
    config = options.run_config(options.resolve({"judge": "sample"}), None)
    created = pb.CreateRunRequest(run_id=run_id, config=config, input_sha256="0" * 64, input_name="x")
    with rpc.channel(place.address("operator")) as channel:
        RunServiceStub(channel).CreateRun(created)
    with rpc.channel(place.address("console")) as channel, acting_for("operator/p-0123456789ab"):
        RunServiceStub(channel).CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="enough"))
        with pytest.raises(grpc.RpcError) as caught:
            RunServiceStub(channel).CreateRun(created)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert [fact.actor for fact in facts_of(place.home, run_id)] == ["operator/ann", "operator/p-0123456789ab"]
    for role in ("operator", "annotator", "scoring", "admin"):
        with (
            rpc.channel(place.address(role)) as channel,
            acting_for("admin/eve"),
            pytest.raises(grpc.RpcError) as caught,
        ):
            RunServiceStub(channel).GetRun(pb.GetRunRequest(run_id=run_id))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, role


@contextmanager
def nginx(place, folder: Path, port: int):
    """The front door as the component grpc-tls has it, but for addresses and folders."""
    text = (ROOT / "k8s/components/grpc-tls/nginx.conf").read_text()
    text = re.sub(r"\w+\$domain:7070", f"127.0.0.1:{place.running.port}", text)
    for old, new in {
        "/tmp/": f"{folder}/",
        "@RESOLVER@": "127.0.0.1",
        "@DOMAIN@": "",
        "listen 7070": f"listen 127.0.0.1:{port}",
        "/etc/concord/grpc/tls": f"{place.tls}/door",
        "/etc/concord/grpc/ca": f"{place.tls}/ca",
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    words = ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        yield f"tls://127.0.0.1:{port}?"
    finally:
        process.terminate()
        assert process.wait(20) == 0, process.stderr.read()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="no nginx: apt-get install nginx-light")
def test_through_the_real_door_a_caller_is_who_its_certificate_says_whatever_else_it_says(place, tmp_path, free_port):
    certificate(place.tls, "two", "ca", "viewer/x\\,CN=admin/y")
    certificate(place.tls, "comma", "ca", "viewer/x,CN=admin/y")
    run_id = new_run("door")
    with nginx(place, tmp_path, free_port) as door:

        def ask(role: str, call, **said: object) -> grpc.StatusCode:
            with rpc.channel(door + place.files(role)) as channel:
                try:
                    call(RunServiceStub(channel), **said)
                except grpc.RpcError as error:
                    return error.code()
            return grpc.StatusCode.OK

        def listed(runs, **said):
            runs.ListRuns(pb.ListRunsRequest(), **said)

        def made(runs, **said):
            config = options.run_config(options.resolve({"judge": "sample"}), None)
            runs.CreateRun(
                pb.CreateRunRequest(run_id=run_id, config=config, input_sha256="0" * 64, input_name="x"), **said
            )

        assert ask("operator", made) is grpc.StatusCode.OK
        assert ask("viewer", listed) is grpc.StatusCode.OK
        forged = [(HEADER, "admin/ann")]
        for role in ("viewer", "annotator", "two", "comma"):
            assert ask(role, made, metadata=forged) is grpc.StatusCode.PERMISSION_DENIED, role
        for role in ("", "impostor"):
            with pytest.raises(grpc.RpcError), rpc.channel(door + place.files(role)) as channel:
                RunServiceStub(channel).ListRuns(pb.ListRunsRequest(), timeout=2)
    (fact,) = facts_of(place.home, run_id)
    assert fact.actor == "operator/ann"


def test_an_annotator_answers_as_nobody_else_and_the_pages_do_for_their_people(place):
    def ask(role: str, annotator: str) -> grpc.StatusCode:
        with rpc.channel(place.address(role)) as channel:
            tasks = TaskServiceStub(channel)
            try:
                tasks.NextTasks(NextTasksRequest(annotator=annotator, most=1))
                tasks.GetQueue(GetQueueRequest(annotator=annotator, run_id=new_run("none")))
            except grpc.RpcError as error:
                return error.code()
        return grpc.StatusCode.OK

    assert ask("annotator", "ann") is not grpc.StatusCode.PERMISSION_DENIED
    assert ask("annotator", "eve") is grpc.StatusCode.PERMISSION_DENIED
    for role in FOR_OTHERS:
        assert ask(role, "eve") is not grpc.StatusCode.PERMISSION_DENIED
    others = {role for role, rpcs in MAY_CALL.items() if rpcs & ANSWER}
    assert others == FOR_OTHERS | {"annotator"}


def test_a_fact_says_on_whose_call_it_was_said_and_workers_hear_what_was_cancelled(place):
    run_id = new_run("whose")
    config = options.run_config(options.resolve({"judge": "sample"}), None)
    with rpc.channel(place.address("operator")) as channel:
        runs = RunServiceStub(channel)
        runs.CreateRun(pb.CreateRunRequest(run_id=run_id, config=config, input_sha256="0" * 64, input_name="x"))
    with rpc.channel(place.address("admin")) as channel:
        RunServiceStub(channel).CancelRun(pb.CancelRunRequest(run_id=run_id, request_id="enough"))
    look, close = at_door(place.address("scoring"))
    assert Cancelled(look)(run_id)
    close()
    facts = facts_of(place.home, run_id)
    assert [(event.WhichOneof("kind"), event.actor) for event in facts] == [
        ("run_created", "operator/ann"),
        ("run_cancelled", "admin/ann"),
    ]


def test_a_certificate_that_is_renewed_is_shown_without_a_restart(place, tmp_path):
    for name in ("ca.crt", "ca.key", "server.crt", "server.key"):
        (tmp_path / name).write_bytes((place.tls / name).read_bytes())
    files = f"ca_file={tmp_path}/ca.crt&cert_file={tmp_path}/server.crt&key_file={tmp_path}/server.key"
    server, port, _ = rpc.serve([], f"tls://127.0.0.1:0?{files}")
    first = ssl.get_server_certificate(("127.0.0.1", port))
    (tmp_path / "server.crt").write_text("half a file")
    assert ssl.get_server_certificate(("127.0.0.1", port)) == first, "while it is being replaced the old one holds"
    certificate(tmp_path, "server", "ca")
    assert ssl.get_server_certificate(("127.0.0.1", port)) != first
    server.stop(None)


@pytest.mark.parametrize(
    "address, why",
    [
        ("tls://127.0.0.1:0?ca=x", "'ca' is none of"),
        ("tls://127.0.0.1:0?cert_file=x", "go together"),
        ("tls://?ca_file=x", "no HOST:PORT"),
        ("tls://127.0.0.1:0", "a server shows a certificate"),
        ("tls://127.0.0.1:0?ca_file=/none&cert_file=/none&key_file=/none", "ca_file=/none: cannot be read"),
        ("tls://127.0.0.1:0?ca_file={here}&cert_file={tls}/server.crt&key_file={tls}/server.key", "authority"),
        ("tls://127.0.0.1:0?cert_file={tls}/server.crt&key_file={tls}/ca.key", "no certificate with its key"),
        ("tls://127.0.0.1:0?cert_file={here}&key_file={here}", "no certificate with its key"),
    ],
)
def test_files_that_cannot_be_used_are_named_before_anybody_calls(place, address, why):
    with pytest.raises(InvalidInput, match=re.escape(why)):
        rpc.serve([], address.format(tls=place.tls, here=__file__))


def test_an_address_keeps_its_replicas_and_hides_its_files():
    address = "tls://ipv4:10.0.0.1:1,10.0.0.2:2?ca_file=/a"
    assert secure.parsed(address) == ("ipv4:10.0.0.1:1,10.0.0.2:2", secure.Files("/a"))
    assert secure.parsed("runs:7070") == ("runs:7070", None)
    assert secure.shown(address) == "tls://ipv4:10.0.0.1:1,10.0.0.2:2"


def test_docs_security_prints_the_table():
    text = (ROOT / "docs/security.md").read_text()
    found = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text.split("### Roles", 1)[1].split("\n#", 1)[0], re.M))
    assert {role: set(re.findall(r"`(\w+)`", said)) for role, said in found.items()} == {
        role: set(rpcs) for role, rpcs in MAY_CALL.items()
    }


def test_every_kind_of_fact_is_somebody_s_to_append_and_docs_security_prints_whose():
    kinds = {field.name for field in Event.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert set.union(*map(set, MAY_APPEND.values())) == kinds
    text = (ROOT / "docs/security.md").read_text().partition("## Who holds what")[2]
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+` ?)+)\|", text, re.M)
    assert {service: set(re.findall(r"\w+", said)) for service, said in rows} == {
        service: {_camel(kind) for kind in kinds} for service, kinds in MAY_APPEND.items()
    }


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


@pytest.mark.parametrize("path", sorted((ROOT / "tests/golden").glob("*.jsonl")), ids=lambda path: path.stem)
def test_units_facts_are_of_the_service_that_does_the_work(path):
    """As recorded: what stands with a unit is a worker's, or of people."""
    runs = MAY_APPEND["runs"] | MAY_APPEND["keeper"]
    for line in path.read_text().splitlines():
        event = json_format.ParseDict(json.loads(line)["event"], Event())
        assert event.HasField("unit") == (event.WhichOneof("kind") not in runs)


def test_every_line_of_the_threat_model_names_a_test_that_there_is():
    text = (ROOT / "docs/security.md").read_text().partition("## What somebody may try")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 16
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        for name in named:
            assert (ROOT / "tests" / f"{name}.py").exists(), name
