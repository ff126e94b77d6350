"""`python -m tests.kube [--json FILE]`: both overlays on a real API server, scheduler and controllers, with simulated nodes.

What it proves: every field is one that the API knows, Pod Security lets all pods in, service accounts may do nothing, pods
are placed where they should be, a drain keeps to the budgets, an update never takes a replica away first, and (kube_lag.py)
waiting work turns a worker on. What it cannot: no container runs, so probes and network policies are not tried here.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from concord.wiring import SERVICES
from deploy.local import programs
from tests import kube_lag
from tests.control_plane import TOOLS, ControlPlane, missing, wait
from tests.manifests import ROOT, built, of_kind

NODES = [one for one in yaml.safe_load_all((ROOT / "deploy/kube/nodes.yaml").read_text()) if one]
SPREAD = ("runs", "tasks")


def apply(plane: ControlPlane, manifests: list) -> None:
    plane.do("apply", "--validate=strict", "-f", "-", given=yaml.safe_dump_all(manifests))


def nodes(but: tuple[str, ...] = ()) -> list:
    return [one for one in NODES if one["kind"] != "Node" or one["metadata"]["name"] not in but]


def pods(plane: ControlPlane, name: str) -> list[dict]:
    """The pods of a workload that are not about to go."""
    found = plane.get("pods", "-l", f"app.kubernetes.io/name={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def place(pod: dict) -> str | None:
    return pod["spec"].get("nodeName")


def settled(plane: ControlPlane) -> bool:
    """Whether every Deployment and StatefulSet has all its pods ready, in their newest form."""
    for one in plane.get("deployments,statefulsets")["items"]:
        wanted, status = one["spec"]["replicas"], one["status"]
        if status.get("observedGeneration", 0) < one["metadata"]["generation"]:
            return False
        if (status.get("readyReplicas", 0), status.get("updatedReplicas", 0), status.get("replicas", 0)) != (
            wanted,
        ) * 3:
            return False
    return True


def dev_fits_on_one_node(plane: ControlPlane) -> None:
    """The whole of dev, back ends included, stands on a single node."""
    apply(plane, nodes(but=("cpu-1", "cpu-2", "gpu-0")))
    said = plane.asked("apply", "--validate=strict", "-k", "k8s/overlays/dev")
    assert said.returncode == 0, said.stderr
    assert "violate" not in said.stderr, said.stderr
    wait("all of dev is ready", lambda: settled(plane))
    for name in (*SERVICES, "door", "kafka", "postgres", "s3"):
        assert [place(pod) for pod in pods(plane, name)] == ["cpu-0"], name
    plane.do("delete", "namespace", "concord", "--timeout=120s")


def prod_is_taken_whole(plane: ControlPlane) -> None:
    """Every field of prod is known, also those of KEDA and the Prometheus operator; Pod Security has nothing to say."""
    apply(plane, nodes())
    apply(plane, list(of_kind("Namespace", built("prod")).values()))
    for name in ("concord-state", "concord-s3", "concord-tls", "concord-console", "concord-judge-keys"):
        plane.do(
            "-n",
            "concord",
            "create",
            "secret",
            "generic",
            name,
            "--from-literal=url=postgresql://u:p@db.example/concord",
        )
    said = plane.asked("apply", "--validate=strict", "-k", "k8s/overlays/prod")
    assert said.returncode == 0, said.stderr
    assert "violate" not in said.stderr, said.stderr
    wait("all of prod is ready", lambda: settled(plane))


def misspelt_fields_are_refused(plane: ControlPlane) -> None:
    for kind, name, field in (("Deployment", "runs", "replica"), ("ScaledObject", "labeling", "minReplicas")):
        manifest = json.loads(json.dumps(of_kind(kind, built("prod"))[name]))
        manifest["spec"][field] = 1
        said = plane.refused("apply", "--validate=strict", "--dry-run=server", "-f", "-", given=json.dumps(manifest))
        assert field in said, said


def pods_with_rights_are_refused(plane: ControlPlane) -> None:
    container = {"name": "bad", "image": "bad:1", "securityContext": {"runAsUser": 0}}
    named = {"name": "bad", "namespace": "concord"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": {"containers": [container]}}
    # Until the controllers have made it, a pod is refused for want of its service account.
    wait(
        "the default service account is there",
        lambda: plane.asked("-n", "concord", "get", "sa", "default").returncode == 0,
    )
    said = plane.refused("apply", "-f", "-", given=json.dumps(pod))
    assert "violates PodSecurity" in said, said


def service_accounts_may_do_nothing(plane: ControlPlane) -> None:
    assert plane.asked("-n", "concord", "auth", "can-i", "get", "secrets").stdout.strip() == "yes", "the admin may"
    for name in (*SERVICES, "door"):
        who = f"--as=system:serviceaccount:concord:{name}"
        for verb, what in (("get", "secrets"), ("list", "pods"), ("create", "pods"), ("get", "configmaps")):
            assert plane.asked("-n", "concord", "auth", "can-i", verb, what, who).stdout.strip() == "no", (
                name,
                verb,
                what,
            )


def pods_stand_where_they_should(plane: ControlPlane) -> None:
    """Replicas of the reactors on nodes of their own; nothing on the node with GPUs, but what asks for one."""
    for name in SPREAD:
        where = [place(pod) for pod in pods(plane, name)]
        assert sorted(where) == ["cpu-0", "cpu-1", "cpu-2"], (name, where)
    assert "gpu-0" not in {place(pod) for name in SERVICES for pod in pods(plane, name)}
    plane.do("apply", "--validate=strict", "-k", "k8s/overlays/prod-gpu")
    wait("training and scoring stand where GPUs are", lambda: settled(plane))
    for name in SERVICES:
        for pod in pods(plane, name):
            assert (place(pod) == "gpu-0") == (name in ("scoring", "training")), (name, place(pod))


def at_least(plane: ControlPlane, name: str, least: int, process: subprocess.Popen) -> int:
    """The fewest available replicas seen until the process ends; AssertionError below `least`."""
    fewest = 10**6
    while process.poll() is None:
        status = plane.get("deployment", name)["status"]
        fewest = min(fewest, status.get("availableReplicas", 0))
        assert fewest >= least, f"{name}: {fewest} of at least {least} replicas"
        time.sleep(0.02)
    assert process.returncode == 0, process.communicate()
    return fewest


def begun(plane: ControlPlane, *words: str) -> subprocess.Popen:
    command = [str(programs.kubectl()), "--kubeconfig", str(plane.kubeconfig), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def a_drain_keeps_to_the_budgets(plane: ControlPlane) -> None:
    """While a node is emptied no service lacks more than one replica; afterwards nothing is left on it."""
    drain = begun(plane, "drain", "cpu-0", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=180s")
    at_least(plane, "runs", 2, drain)
    wait("what was drained is ready elsewhere", lambda: settled(plane))
    assert "cpu-0" not in {place(pod) for name in (*SERVICES, "door") for pod in pods(plane, name)}
    plane.do("uncordon", "cpu-0")


def a_second_eviction_waits_for_the_first(plane: ControlPlane) -> None:
    """With no node for a replacement the budget is spent by one eviction: the next is told to come again."""
    for name in ("cpu-0", "cpu-1", "cpu-2"):
        plane.do("cordon", name)
    first, second, *_ = (pod["metadata"]["name"] for pod in pods(plane, "runs"))
    plane.do("create", "--raw", f"/api/v1/namespaces/concord/pods/{first}/eviction", "-f", "-", given=eviction(first))
    wait("the eviction is noticed", lambda: plane.get("pdb", "runs")["status"]["disruptionsAllowed"] == 0)
    said = plane.refused(
        "create", "--raw", f"/api/v1/namespaces/concord/pods/{second}/eviction", "-f", "-", given=eviction(second)
    )
    assert "disruption budget" in said, said
    for name in ("cpu-0", "cpu-1", "cpu-2"):
        plane.do("uncordon", name)
    wait("all replicas are back", lambda: settled(plane))


def eviction(pod: str) -> str:
    return json.dumps(
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "concord"}}
    )


def an_update_takes_no_replica_away_first(plane: ControlPlane) -> None:
    """A changed setting is a new ConfigMap and so an update; all three replicas stay available while it lasts."""
    before = {pod["metadata"]["name"] for pod in pods(plane, "runs")}
    plane.do("-n", "concord", "set", "image", "deployment/runs", "runs=registry.example/concord-runs:0.1.1")
    at_least(plane, "runs", 3, begun(plane, "-n", "concord", "rollout", "status", "deployment/runs", "--timeout=180s"))
    wait("the old replicas are gone", lambda: settled(plane))
    after = pods(plane, "runs")
    assert not before & {pod["metadata"]["name"] for pod in after}
    assert len({place(pod) for pod in after}) == 3, [place(pod) for pod in after]


CHECKS: tuple[Callable[[ControlPlane], None], ...] = (
    dev_fits_on_one_node,
    prod_is_taken_whole,
    misspelt_fields_are_refused,
    pods_with_rights_are_refused,
    service_accounts_may_do_nothing,
    pods_stand_where_they_should,
    a_drain_keeps_to_the_budgets,
    a_second_eviction_waits_for_the_first,
    an_update_takes_no_replica_away_first,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write what was checked, and at which commit, there")
    given = parser.parse_args()
    if absent := missing():
        print(f"kube: NOT TESTED: {', '.join(absent)} not there; `make kube-tools` builds them (Go, 9 to 20 minutes)")
        return 1
    seconds: dict[str, float] = {}
    with TemporaryDirectory() as folder, ControlPlane(Path(folder)) as plane:
        version = json.loads(plane.do("version", "-o", "json"))["serverVersion"]["gitVersion"]
        plane.do(
            "apply",
            "--server-side",
            *(word for path in sorted((TOOLS / "crds").iterdir()) for word in ("-f", str(path))),
        )
        plane.do("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        for check in CHECKS:
            started = time.monotonic()
            check(plane)
            seconds[check.__name__] = round(time.monotonic() - started, 1)
            print(f"kube: {check.__name__.replace('_', ' ')} ({seconds[check.__name__]} s)", flush=True)
        if kube_lag.is_built():
            started = time.monotonic()
            kube_lag.replicas_follow_what_waits(plane, Path(folder))
            seconds["replicas_follow_what_waits"] = round(time.monotonic() - started, 1)
            print(f"kube: replicas follow what waits ({seconds['replicas_follow_what_waits']} s)", flush=True)
        else:
            print("kube: NOT TESTED: scaling by lag, for KEDA is not built (`make keda`, a further 12 minutes or more)")
    if given.json:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"], cwd=ROOT, capture_output=True, text=True
        )
        made = {"commit": commit.stdout.strip(), "server": version, "seconds": seconds}
        given.json.write_text(json.dumps(made, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
