"""docker-compose.tls.yml: every service behind TLS with a certificate of its own, which deploy/certificates.sh makes."""

import shutil
import subprocess
from pathlib import Path

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from concord.kit import rpc, secure
from concord.preference import rights
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from concord.wiring import SERVICES
from tests.manifests import compose, filled

ROOT = Path(__file__).parent.parent


def override() -> dict:
    return yaml.safe_load(filled((ROOT / "docker-compose.tls.yml").read_text()))["services"]


def test_every_service_listens_with_its_own_certificate_and_asks_others_for_theirs():
    assert set(override()) == {*SERVICES, "console", "door"} <= set(compose()["services"])
    for name, service in override().items():
        assert f"./tls/{name}:/tls:ro" in service["volumes"]
        for variable, said in service.get("environment", {}).items():
            place, files = secure.parsed(said)
            assert place == ("0.0.0.0:7070" if variable == "CONCORD_LISTEN" else "runs:7070")
            assert (files.cert_file, files.key_file, files.ca_file) == ("/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt")
    for name in SERVICES:
        assert (
            "CONCORD_LISTEN" in override()[name]["environment"]
            and "/ready" in override()[name]["healthcheck"]["test"][-1]
        )
        plain = compose()["services"][name]["environment"]
        asks = "CONCORD_RUNS_ADDRESS" in override()[name]["environment"]
        assert asks == ("CONCORD_RUNS_ADDRESS" in plain and name not in ("runs", "tasks"))


def test_the_doors_command_makes_a_configuration_with_its_certificates(tmp_path):
    command = override()["door"]["entrypoint"][-1].partition(" && exec")[0]
    for old, new in {
        "/door/": f"{ROOT}/k8s/components/grpc-tls/",
        "/etc/concord/start.sh": f"{ROOT}/k8s/base/door/start.sh",
        ">/tmp/": f">{tmp_path}/",
    }.items():
        assert old in command
        command = command.replace(old, new)
    subprocess.run(["sh", "-c", command], check=True)
    made = (tmp_path / "tls.conf").read_text()
    assert "ssl_certificate /tls/tls.crt;" in made and "/etc/concord/grpc" not in made
    assert "/tmp/tls.conf >/tmp/nginx.conf" in (tmp_path / "start.sh").read_text()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl: apt-get install openssl")
def test_the_certificates_let_in_whom_they_name_and_nobody_else(tmp_path):
    script = [str(ROOT / "deploy/certificates.sh"), str(tmp_path / "tls"), "me"]
    subprocess.run(script, check=True)
    before = (tmp_path / "tls/runs/tls.crt").read_bytes()
    subprocess.run([*script, "you"], check=True)
    assert (tmp_path / "tls/runs/tls.crt").read_bytes() == before and (tmp_path / "tls/you/tls.key").exists()

    def address(name: str, port: int) -> str:
        own = tmp_path / "tls" / name
        return f"tls://127.0.0.1:{port}?cert_file={own}/tls.crt&key_file={own}/tls.key&ca_file={own}/ca.crt"

    server, port, _ = rpc.serve([], address("runs", 0), rights=rights.why_not)
    try:
        with rpc.channel(address("me", port)) as channel:
            alive = health_pb2.HealthCheckRequest(service=rpc.ALIVE)
            assert health_pb2_grpc.HealthStub(channel).Check(alive).status == health_pb2.HealthCheckResponse.SERVING
        with (
            rpc.channel(f"tls://127.0.0.1:{port}?ca_file={tmp_path}/tls/ca.crt") as channel,
            pytest.raises(grpc.RpcError),
        ):
            RunServiceStub(channel).ListRuns(pb.ListRunsRequest(), timeout=2)
    finally:
        server.stop(None)
