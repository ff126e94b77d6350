"""KEDA's own operator and adapter on a real API server give workers replicas by the work that runs says may run.

The ScaledObject is the project's, but for its clocks and the address: the page is this process's, served as runs serves it.
Replicas are only counted, for no container runs. From nothing to one is the operator's own doing; further it is Kubernetes'
autoscaler that asks KEDA's adapter.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from concord.kit import telemetry
from concord.kit.telemetry import serve_metrics
from concord.runs import demand, watchtower
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Stage
from deploy.local.broker import free_port
from tests.control_plane import TOOLS, ControlPlane, wait
from tests.idle_week import pods
from tests.manifests import built, of_kind
from tests.run_world import FoldedRun, config

OPERATOR, ADAPTER = "keda-operator", "keda-adapter"
# Instead of 10, 300 and 60 s.
POLL_S, COOL_DOWN_S, STABLE_S = 2, 5, 1
UNITS = 40
# So often KEDA and the autoscaler look before it is said that they change nothing.
LOOKS = 10
# KEDA's names of the service that Kubernetes' autoscaler asks.
GROUP_OF_METRICS, SERVICE = "external.metrics.k8s.io", "keda-metrics-apiserver"


def is_built() -> bool:
    return all(os.access(TOOLS / program, os.X_OK) for program in (OPERATOR, ADAPTER))


def replicas_follow_what_waits(plane: ControlPlane, folder: Path) -> None:
    """None without work, as many as the wanted units need, fewer when fewer are wanted, none once none is; on GPUs too.

    As many as `idle_week.pods` reckons, which is so shown to reckon as KEDA does.
    """
    port, page = free_port(), Page()
    end = serve_metrics(port)
    try:
        page.shows(_units(0))
        for name in ("labeling", "training"):
            _apply(plane, name, port)
        _start_keda(plane, folder)
        _follow(plane, page, "labeling", (0, UNITS, UNITS // 3, 0))
        a_rate_limit_adds_no_replica(plane, page)
        # Its autoscaler never scales in; all go together once nothing is wanted.
        _follow(plane, page, "training", (0, 1, 3, 0))
    finally:
        end()


def _follow(plane: ControlPlane, page: "Page", name: str, units: Sequence[int]) -> None:
    for count in units:
        page.shows(_units(count, name))
        wanted = pods({**dict.fromkeys(demand.WORKERS.values(), 0), name: count})[name]
        wait(f"{count} units give {wanted} replicas of {name}", lambda wanted=wanted: replicas(plane, name) == wanted)


def a_rate_limit_adds_no_replica(plane: ControlPlane, page: "Page") -> None:
    """Forty shards wait for a judge that lets through less than one replica's worth a minute: one replica, however long."""
    slow = JudgeConfig(kind="llm", name="m", url="http://h/v1", both_orders=True, requests_per_minute=24)
    run = FoldedRun(config(pilot=-1, window=40, judge=slow), pairs=160)
    run.go_to(Stage.STAGE_LABEL)
    assert run.state.open is not None and run.state.open.units == UNITS
    page.shows(demand.survey([run.state], 0.0, demand.Waits()))
    wait("there is a replica", lambda: replicas(plane, "labeling") == 1)
    asked = page.asked
    wait("KEDA has asked some times more", lambda: page.asked >= asked + LOOKS)
    assert replicas(plane, "labeling") == 1
    page.shows(_units(0))
    wait("labeling is turned off", lambda: replicas(plane, "labeling") == 0)


class Page:
    """What runs says at /wanted, and how often it was asked for it."""

    def __init__(self) -> None:
        self.asked = 0

    def shows(self, seen: demand.Survey) -> None:
        watchtower.show(seen)
        told = telemetry.PAGES[watchtower.WANTED]

        def page() -> Mapping[str, object]:
            self.asked += 1
            return told()

        telemetry.PAGES[watchtower.WANTED] = page


def _units(units: int, name: str = "labeling") -> demand.Survey:
    nobody = dict.fromkeys(demand.WORKERS.values(), 0)
    waits = dict.fromkeys(demand.WORKERS.values(), 0.0)
    return demand.Survey(nobody | {name: units}, waits, {}, {}, 0)


def replicas(plane: ControlPlane, name: str) -> int:
    return plane.get("deployment", name)["spec"]["replicas"]


def _apply(plane: ControlPlane, name: str, port: int) -> None:
    """The service and its autoscaler as prod with GPUs has them, in a hurry, with this page."""
    deployment = of_kind("Deployment", built("prod-gpu"))[name]
    scaled = json.loads(json.dumps(of_kind("ScaledObject", built("prod-gpu"))[name]))
    scaled["spec"] |= {"pollingInterval": POLL_S, "cooldownPeriod": COOL_DOWN_S}
    behaviour = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    if "selectPolicy" not in behaviour["scaleDown"]:
        behaviour["scaleDown"] = {
            "stabilizationWindowSeconds": STABLE_S,
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": STABLE_S}],
        }
    (trigger,) = scaled["spec"]["triggers"]
    trigger["metadata"]["url"] = f"http://127.0.0.1:{port}{watchtower.WANTED}"
    plane.do("apply", "-f", "-", given=json.dumps(deployment))
    plane.do("apply", "--validate=strict", "-f", "-", given=json.dumps(scaled))


def _start_keda(plane: ControlPlane, folder: Path) -> None:
    """The operator, and the adapter that Kubernetes finds under its APIService."""
    certificates = folder / "keda"
    certificates.mkdir()
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            certificates / "tls.key",
            "-out",
            certificates / "tls.crt",
        ],
        check=True,
        capture_output=True,
    )
    (certificates / "ca.crt").write_bytes((certificates / "tls.crt").read_bytes())
    plane.do("create", "namespace", "keda")
    lag, port = f"localhost:{free_port()}", free_port()
    names = {
        "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda",
        "POD_NAMESPACE": "keda",
        "WATCH_NAMESPACE": "",
        "KUBECONFIG": str(plane.kubeconfig),
    }
    plane.start(
        OPERATOR,
        f"--cert-dir={certificates}",
        "--enable-cert-rotation=false",
        f"--metrics-bind-address=127.0.0.1:{free_port()}",
        f"--health-probe-bind-address=127.0.0.1:{free_port()}",
        f"--metrics-service-bind-address={lag}",
        environment=names,
    )
    config = f"kubeconfig={plane.kubeconfig}"
    plane.start(
        ADAPTER,
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={certificates}",
        f"--port={free_port()}",
        f"--tls-cert-file={certificates / 'tls.crt'}",
        f"--tls-private-key-file={certificates / 'tls.key'}",
        f"--metrics-service-address={lag}",
        f"--authentication-{config}",
        f"--authorization-{config}",
        f"--lister-{config}",
        "--authentication-skip-lookup=true",
        environment=names,
    )
    for made in _found_by_kubernetes(port):
        plane.do("apply", "-f", "-", given=json.dumps(made))
    plane.do("wait", "--for=condition=Available", f"apiservice/v1beta1.{GROUP_OF_METRICS}", "--timeout=400s")


def _found_by_kubernetes(port: int) -> list[dict]:
    """The adapter is no pod here, so its Service is another name for this machine; requests come without a certificate."""
    rights = [
        {"apiGroups": [GROUP_OF_METRICS], "resources": ["*"], "verbs": ["get", "list"]},
        {"nonResourceURLs": ["/apis", "/apis/*", "/openapi/*"], "verbs": ["get"]},
    ]
    named, reads = {"name": SERVICE, "namespace": "keda"}, {"name": "reads-lag"}
    group, anybody = "rbac.authorization.k8s.io", {"kind": "User", "name": "system:anonymous"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": named,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": reads, "rules": rights},
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": reads,
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", **reads},
            "subjects": [{"apiGroup": group, **anybody}],
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"v1beta1.{GROUP_OF_METRICS}"},
            "spec": {
                "group": GROUP_OF_METRICS,
                "version": "v1beta1",
                "service": {**named, "port": port},
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
