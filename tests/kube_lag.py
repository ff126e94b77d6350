"""KEDA's own operator and adapter on a real API server give labeling replicas by the work that runs says may run.

The ScaledObject is the project's, but for its clocks and the address: the page is this process's, served as runs serves it.
Replicas are only counted, for no container runs. From nothing to one is the operator's own doing; further it is Kubernetes'
autoscaler that asks KEDA's adapter.
"""

import json
import os
import subprocess
from math import ceil
from pathlib import Path

from concord.kit.telemetry import serve_metrics
from concord.runs import demand, watchtower
from deploy.local.broker import free_port
from tests.control_plane import TOOLS, ControlPlane, wait
from tests.manifests import built, of_kind

OPERATOR, ADAPTER = "keda-operator", "keda-adapter"
# Instead of 10, 300 and 60 s.
POLL_S, COOL_DOWN_S, STABLE_S = 2, 5, 1
UNITS = 40
# KEDA's names of the service that Kubernetes' autoscaler asks.
GROUP_OF_METRICS, SERVICE = "external.metrics.k8s.io", "keda-metrics-apiserver"


def is_built() -> bool:
    return all(os.access(TOOLS / program, os.X_OK) for program in (OPERATOR, ADAPTER))


def replicas_follow_what_waits(plane: ControlPlane, folder: Path) -> None:
    """0 replicas without work, as many as the wanted units need where there are some, 0 once none is wanted."""
    port = free_port()
    end = serve_metrics(port)
    try:
        _want(0)
        a_replica = _apply(plane, port)
        _start_keda(plane, folder)
        wait("labeling is turned off", lambda: replicas(plane) == 0)
        _want(UNITS)
        wait("wanted units turn labeling on", lambda: replicas(plane) > 0)
        wait("as many replicas as the units need", lambda: replicas(plane) == ceil(UNITS / a_replica))
        _want(0)
        wait("labeling is turned off when nothing is wanted", lambda: replicas(plane) == 0)
    finally:
        end()


def _want(units: int) -> None:
    nobody = dict.fromkeys(demand.WORKERS.values(), 0)
    waits = dict.fromkeys(demand.WORKERS.values(), 0.0)
    watchtower.show(demand.Survey(nobody | {"labeling": units}, waits, {}, {}, 0))


def replicas(plane: ControlPlane) -> int:
    return plane.get("deployment", "labeling")["spec"]["replicas"]


def _apply(plane: ControlPlane, port: int) -> int:
    """Labeling and its autoscaler as prod has them, in a hurry, with this page; units that are wanted for each replica."""
    deployment = of_kind("Deployment", built("prod"))["labeling"]
    scaled = of_kind("ScaledObject", built("prod"))["labeling"]
    scaled["spec"] |= {"pollingInterval": POLL_S, "cooldownPeriod": COOL_DOWN_S}
    scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"][
        "stabilizationWindowSeconds"
    ] = STABLE_S
    (trigger,) = scaled["spec"]["triggers"]
    trigger["metadata"]["url"] = f"http://127.0.0.1:{port}{watchtower.WANTED}"
    plane.do("apply", "-f", "-", given=json.dumps(deployment))
    plane.do("apply", "--validate=strict", "-f", "-", given=json.dumps(scaled))
    return int(trigger["metadata"]["targetValue"])


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
    plane.do("wait", "--for=condition=Available", f"apiservice/v1beta1.{GROUP_OF_METRICS}", "--timeout=90s")


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
