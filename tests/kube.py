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
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks.measure import circumstances
from concord.wiring import SERVICES
from deploy.local import programs
from tests import earlier, kube_drain, kube_lag
from tests.control_plane import TOOLS, ControlPlane, missing, wait
from tests.manifests import ROOT, built, kustomized, of_kind, with_components

NODES = [one for one in yaml.safe_load_all((ROOT / "deploy/kube/nodes.yaml").read_text()) if one]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SPREAD = ("runs", "tasks")
GPUS = ("gpu-0", "gpu-1")
# One that is empty until a check wants it.
SPARE = "gpu-1"
# What each of these adds to prod the API server alone can judge; the others' kinds are definitions that are not here.
COMPONENTS = (("grpc-tls",), ("teams",), ("door-ingress",), ("role-eks",), ("role-gke",), ("role-token",), ("prune",))


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
    apply(plane, nodes(but=("cpu-1", "cpu-2", *GPUS)))
    said = plane.asked("apply", "--validate=strict", "-k", "k8s/overlays/dev")
    assert said.returncode == 0, said.stderr
    assert "violate" not in said.stderr, said.stderr
    wait("all of dev is ready", lambda: settled(plane))
    for name in (*SERVICES, "door", "kafka", "postgres", "s3"):
        assert [place(pod) for pod in pods(plane, name)] == ["cpu-0"], name
    plane.do("delete", "namespace", "concord", "--timeout=400s")


def prepare(plane: ControlPlane) -> None:
    """The namespace, and the Secrets that whoever runs prod makes."""
    apply(plane, list(of_kind("Namespace", built("prod")).values()))
    for name in ("concord-state", "concord-s3", "concord-tls", "concord-console", "concord-judge-keys"):
        secret = ("create", "secret", "generic", name, "--from-literal=url=postgresql://u:p@db.example/concord")
        plane.do("-n", "concord", *secret)


def prod_is_taken_whole(plane: ControlPlane) -> None:
    """Every field of prod is known, also those of KEDA and the Prometheus operator; Pod Security has nothing to say."""
    apply(plane, nodes(but=(SPARE,)))
    prepare(plane)
    said = plane.asked("apply", "--validate=strict", "-k", "k8s/overlays/prod")
    assert said.returncode == 0, said.stderr
    assert "violate" not in said.stderr, said.stderr
    wait("all of prod is ready", lambda: settled(plane))


def every_component_is_taken(plane: ControlPlane) -> None:
    """Also what prod leaves to choose: every field is known, and Pod Security has nothing to say."""
    for names in COMPONENTS:
        manifests = [one for one in with_components("prod", *names) if one["kind"] != "Namespace"]
        said = plane.asked(
            "apply", "--validate=strict", "--dry-run=server", "-f", "-", given=yaml.safe_dump_all(manifests)
        )
        assert said.returncode == 0 and "violate" not in said.stderr, (names, said.stderr)


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
    assert not {*GPUS} & {place(pod) for name in SERVICES for pod in pods(plane, name)}
    plane.do("apply", "--validate=strict", "-k", "k8s/overlays/prod-gpu")
    wait("training and scoring stand where GPUs are", lambda: settled(plane))
    for name in SERVICES:
        for pod in pods(plane, name):
            assert (place(pod) == "gpu-0") == (name in ("scoring", "training")), (name, place(pod))


def a_replica_has_a_gpu_of_its_own(plane: ControlPlane) -> None:
    """The node has two, for training and scoring; one replica more waits until there is another node, and never shares."""
    plane.do("-n", "concord", "scale", "deployment/training", "--replicas=2")
    wait("a training without a GPU waits", lambda: any(place(pod) is None for pod in pods(plane, "training")))
    (waiting,) = (pod for pod in pods(plane, "training") if place(pod) is None)
    wait("it is said for what", lambda: "Insufficient nvidia.com/gpu" in said_of(plane, waiting))
    apply(plane, [one for one in NODES if one["metadata"]["name"] == SPARE])
    wait("it gets the new node's", lambda: settled(plane))
    assert sorted(place(pod) or "" for pod in pods(plane, "training")) == sorted(GPUS)
    plane.do("-n", "concord", "scale", "deployment/training", "--replicas=1")
    wait("one is left", lambda: settled(plane))


def said_of(plane: ControlPlane, pod: dict) -> str:
    """Why a pod is not placed."""
    now = plane.get("pod", pod["metadata"]["name"])
    return " ".join(one.get("message", "") for one in now["status"].get("conditions", ()))


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
    drain = begun(plane, "drain", "cpu-0", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=400s")
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
    at_least(plane, "runs", 3, begun(plane, "-n", "concord", "rollout", "status", "deployment/runs", "--timeout=400s"))
    wait("the old replicas are gone", lambda: settled(plane))
    after = pods(plane, "runs")
    assert not before & {pod["metadata"]["name"] for pod in after}
    assert len({place(pod) for pod in after}) == 3, [place(pod) for pod in after]


def a_release_candidate_is_upgraded_as_it_runs_and_back(plane: ControlPlane) -> None:
    """0.1.0rc1 as it was rendered, this version over it, back, and again: nothing is refused, no replica that answers is missed,
    every pod is of the version that was asked for, and no object of before is left that nobody asks for."""
    plane.do("delete", "namespace", "concord", "--timeout=400s")
    prepare(plane)
    with TemporaryDirectory() as folder:
        old = [
            one
            for one in kustomized(str(earlier.tree(earlier.RELEASE_CANDIDATE, Path(folder)) / "k8s/overlays/prod"))
            if one["kind"] != "Namespace"
        ]
    text = yaml.safe_dump_all(old)
    assert f":{VERSION}" in text
    before = list(yaml.safe_load_all(text.replace(f":{VERSION}", f":{VERSION}rc1")))
    after = [one for one in built("prod") if one["kind"] != "Namespace"]
    apply(plane, before)
    wait("the release candidate is ready", lambda: settled(plane))
    for version, manifests in ((VERSION, after), (f"{VERSION}rc1", before), (VERSION, after)):
        apply(plane, manifests)
        never_less(plane, {"runs": 3, "tasks": 3, "door": 2})
        for name in SERVICES:
            images = {one["image"] for pod in pods(plane, name) for one in pod["spec"]["containers"]}
            assert all(image.endswith(f":{version}") for image in images) and images, (name, images)
    left = {kind_and_name(one) for one in before} - {kind_and_name(one) for one in after}
    # A ConfigMap's name says what is in it, so each version has one of its own.
    assert not {one for one in left if one[0] != "ConfigMap"}, left


def kind_and_name(manifest: Mapping) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def never_less(plane: ControlPlane, least: Mapping[str, int]) -> None:
    """Until all is settled, no fewer replicas of each are available than so many. AssertionError."""

    def there() -> bool:
        for name, few in least.items():
            has = plane.get("deployment", name)["status"].get("availableReplicas", 0)
            assert has >= few, f"{name}: {has} of at least {few} replicas"
        return settled(plane)

    wait("all is of one version", there)


CHECKS: tuple[Callable[[ControlPlane], None], ...] = (
    dev_fits_on_one_node,
    prod_is_taken_whole,
    misspelt_fields_are_refused,
    pods_with_rights_are_refused,
    service_accounts_may_do_nothing,
    every_component_is_taken,
    pods_stand_where_they_should,
    a_replica_has_a_gpu_of_its_own,
    kube_drain.a_training_survives_the_drain_of_its_node,
    a_drain_keeps_to_the_budgets,
    a_second_eviction_waits_for_the_first,
    an_update_takes_no_replica_away_first,
    a_release_candidate_is_upgraded_as_it_runs_and_back,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write what was checked, and at which commit, there")
    given = parser.parse_args()
    # Before anything runs: the load that it found, not its own.
    found = circumstances({})
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
        plane.do("wait", "--for=condition=Established", "crd", "--all", "--timeout=400s")
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
        made = {**found, "server": version, "seconds": seconds}
        given.json.write_text(json.dumps(made, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
