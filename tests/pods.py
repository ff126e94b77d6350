"""`python -m tests.pods`: the containers of k8s/overlays/dev, started exactly as they are rendered, and a run through the door.

For each pod its image, command, arguments, environment (from ConfigMaps, Secrets and fields), mounts, user, read-only root,
dropped rights and memory limit are those of the manifest; its probes are asked until they answer, and asked again after a run.
Names are the Services'. What is not tried: placing, network policies, updates, which `make kube` tries without containers. Needs
an engine, as tests/compose.py does, and says so where there is none.
"""

import argparse
import base64
import json
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.measure import circumstances
from concord.kit.health import why_not
from deploy.local.broker import ROOT, free_port
from deploy.local.broker import install as install_kafka
from deploy.local.engine import WORK, engine
from tests.compose import TAG, dataset
from tests.manifests import built, of_kind, with_components, workloads

NETWORK, UP_S = "concord-pods", 240.0
# Stand-ins for what no registry gives here; those of a name are taken as they are where the engine has them.
STAND_INS = {
    "apache/kafka": "kafka",
    "postgres": "postgres",
    "versity/versitygw": "s3",
    "nginxinc/nginx-unprivileged": "door",
}
FIRST = ("kafka", "postgres", "s3")


def certificates(folder: Path) -> dict[str, Mapping]:
    """The Secrets that the component grpc-tls names, as cert-manager would write them; `folder`/me is an admin's own."""
    subprocess.run([ROOT / "deploy/certificates.sh", folder, "admin/me"], check=True)
    return {
        f"concord-grpc-{one.name}": {
            "data": {file.name: base64.b64encode(file.read_bytes()).decode() for file in one.iterdir()}
        }
        for one in folder.iterdir()
        if one.is_dir()
    }


def docker(*words: str, ok: bool = False) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True)
    if done.returncode and not ok:
        raise AssertionError(f"docker {' '.join(words)}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout.strip()


class Pods:
    """The pods of the overlay as containers on one network."""

    def __init__(self, folder: Path, tls: bool = False) -> None:
        self.manifests, self.folder = with_components("dev", "grpc-tls") if tls else built("dev"), folder
        self.maps, self.secrets = of_kind("ConfigMap", self.manifests), of_kind("Secret", self.manifests)
        if tls:
            self.secrets |= certificates(folder / "tls")
        # Where this machine reaches the door.
        self.door = free_port()

    def image(self, wanted: str) -> str:
        """The manifest's image; for one that no registry gives here, what is made in its place."""
        name = wanted.rpartition(":")[0]
        if name in STAND_INS:
            return f"localhost/concord-{STAND_INS[name]}:{TAG}"
        docker("tag", f"{name}:{TAG}", wanted)
        return wanted

    def values(self, source: Mapping, kind: str) -> dict[str, str]:
        """All entries of a ConfigMap or Secret; empty where it is optional and not there."""
        known = self.maps if kind == "configMap" else self.secrets
        if source["name"] not in known:
            assert source.get("optional"), f"there is no {kind} {source['name']}"
            return {}
        found = known[source["name"]].get("data", {})
        return (
            found if kind == "configMap" else {name: base64.b64decode(value).decode() for name, value in found.items()}
        )

    def environment(self, container: Mapping) -> dict[str, str]:
        """As the kubelet makes it, `$(NAME)` included."""
        made: dict[str, str] = {}
        for one in container.get("envFrom", ()):
            kind = "configMap" if "configMapRef" in one else "secret"
            made |= self.values(one[f"{kind}Ref"], kind)
        for one in container.get("env", ()):
            source = one.get("valueFrom", {})
            if ref := source.get("secretKeyRef"):
                values = self.values(ref, "secret")
                if ref["key"] not in values:
                    assert ref.get("optional"), f"{ref['name']} has no {ref['key']}"
                    continue
                made[one["name"]] = values[ref["key"]]
            elif source:
                assert source["fieldRef"]["fieldPath"] == "metadata.namespace", source
                made[one["name"]] = "concord"
            else:
                value = one.get("value", "")
                for name, known in made.items():
                    value = value.replace(f"$({name})", known)
                made[one["name"]] = value
        return made

    def mounts(self, pod: Mapping, container: Mapping, owner: str) -> list[str]:
        """Flags: files of ConfigMaps and Secrets to read, everything else an empty folder of the pod's user."""
        flags: list[str] = []
        volumes = {one["name"]: one for one in pod.get("volumes", ())}
        for mount in container.get("volumeMounts", ()):
            volume = volumes.get(mount["name"], {})
            kind = next((kind for kind in ("configMap", "secret") if kind in volume), "")
            if not kind:
                name = f"{NETWORK}-{pod['serviceAccountName']}-{mount['name']}"
                docker("volume", "create", name)
                flags += ["--volume", f"{name}:{mount['mountPath']}"]
                user = pod["securityContext"]
                self.prepare(name, user["runAsUser"], user["runAsGroup"])
                continue
            ref = volume[kind]
            values = self.values({"name": ref.get("name", ref.get("secretName"))}, kind)
            place = self.folder / owner / mount["name"]
            place.mkdir(parents=True)
            for name, value in values.items():
                (place / name).write_text(value)
                (place / name).chmod(0o444)
            place.chmod(0o755)
            # What is mounted below it gets its folder, as the kubelet makes it (MakeNestedMountpoints).
            for other in container["volumeMounts"]:
                if other["mountPath"].startswith(f"{mount['mountPath']}/"):
                    (place / other["mountPath"].removeprefix(f"{mount['mountPath']}/")).mkdir(parents=True)
            flags += ["--volume", f"{place}:{mount['mountPath']}:ro"]
        return flags

    def prepare(self, volume: str, user: int, group: int) -> None:
        """An empty folder belongs to the pod's group, as `fsGroup` has it."""
        owned = ("--user", "0:0", "--volume", f"{volume}:/v", "--entrypoint", "chown")
        docker("run", "--rm", *owned, f"localhost/concord-base:{TAG}", f"{user}:{group}", "/v")

    def run(self, name: str, workload: Mapping) -> None:
        """The pod's containers: those that come first to their end, then the others."""
        pod = workload["spec"]["template"]["spec"]
        for container in pod.get("initContainers", ()):
            docker("run", "--rm", *self.flags(name, pod, container), *self.words(container))
        (container,) = pod["containers"]
        names = [f"--network-alias={name}", f"--network-alias={name}.concord.svc.cluster.local"]
        ports = [f"--publish=127.0.0.1:{self.door}:7070"] if name == "door" else []
        docker(
            "run",
            "--detach",
            f"--name={NETWORK}-{name}",
            *names,
            *ports,
            *self.flags(name, pod, container),
            *self.words(container),
        )

    def flags(self, name: str, pod: Mapping, container: Mapping) -> list[str]:
        user, rights = pod["securityContext"], container["securityContext"]
        flags = [f"--network={NETWORK}", f"--user={user['runAsUser']}:{user['runAsGroup']}"]
        flags += [f"--cap-drop={one}" for one in rights["capabilities"]["drop"]]
        flags += [] if rights["allowPrivilegeEscalation"] else ["--security-opt=no-new-privileges:true"]
        flags += ["--read-only"] if rights["readOnlyRootFilesystem"] else []
        flags += [f"--memory={container['resources']['limits']['memory'].lower().removesuffix('i')}"]
        flags += [word for pair in self.environment(container).items() for word in ("--env", "=".join(pair))]
        flags += self.mounts(pod, container, f"{name}-{container['name']}")
        if command := container.get("command"):
            flags += [f"--entrypoint={command[0]}"]
        return [*flags, self.image(container["image"])]

    def words(self, container: Mapping) -> list[str]:
        return [*container.get("command", ())[1:], *container.get("args", ())]

    def probe(self, name: str, container: Mapping, kind: str) -> str:
        """Why the probe fails; empty where it does not. Asked from within the container's own network."""
        asked = container[kind]
        ports = {one["name"]: one["containerPort"] for one in container["ports"]}
        if "exec" in asked:
            return (
                ""
                if _ok("exec", f"{NETWORK}-{name}", *asked["exec"]["command"])
                else shlex.join(asked["exec"]["command"])
            )
        how = next(how for how in ("grpc", "httpGet", "tcpSocket") if how in asked)
        port = ports.get(asked[how]["port"], asked[how]["port"])
        address = f"{self.address(name)}:{port}"
        if how == "grpc":
            return why_not(address, asked[how].get("service", "")) or ""
        try:
            if how == "tcpSocket":
                socket.create_connection((self.address(name), port), timeout=3).close()
            else:
                urllib.request.urlopen(f"http://{address}{asked[how].get('path', '/')}", timeout=3).close()
        except OSError as error:
            return f"{how} {address}: {error}"
        return ""

    def address(self, name: str) -> str:
        return docker(
            "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", f"{NETWORK}-{name}"
        )

    def wait(self, name: str, workload: Mapping, up_s: float = UP_S) -> None:
        """Until startup, readiness and liveness probe all answer; AssertionError with the container's last words otherwise."""
        (container,) = workload["spec"]["template"]["spec"]["containers"]
        deadline = time.monotonic() + up_s
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            while why := self.probe(name, container, kind):
                state = json.loads(docker("inspect", "--format", "{{json .State}}", f"{NETWORK}-{name}"))
                if not state["Running"] or time.monotonic() > deadline:
                    log = subprocess.run(
                        ["docker", "logs", "--tail", "15", f"{NETWORK}-{name}"], capture_output=True, text=True
                    )
                    raise AssertionError(f"{name}: {kind}: {why}; {state['Status']}\n{log.stdout + log.stderr}")
                time.sleep(0.5)

    def clear(self) -> None:
        """Takes everything away that a run of this made."""
        for one in docker("ps", "--all", "--quiet", f"--filter=name={NETWORK}-", ok=True).split():
            docker("rm", "--force", one, ok=True)
        for one in docker("volume", "ls", "--quiet", f"--filter=name={NETWORK}-", ok=True).split():
            docker("volume", "rm", one, ok=True)
        docker("network", "rm", NETWORK, ok=True)


def planted(plant: str, workload: Mapping) -> Mapping:
    """The workload with one rendered field wrong."""
    changed = json.loads(json.dumps(workload))
    pod = changed["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    PLANTS[plant](pod, container)
    return changed


def _log_elsewhere(pod: dict, container: dict) -> None:
    container["env"].append({"name": "CONCORD_LOG_URL", "value": "kafka://kafka"})


def _no_key(pod: dict, container: dict) -> None:
    (key,) = (one for one in container["env"] if one["name"] == "AWS_SECRET_ACCESS_KEY")
    del key["valueFrom"]
    key["value"] = "another"


def _other_command(pod: dict, container: dict) -> None:
    container["command"] = ["python", "-m", "concord.triag"]


def _nothing_to_write_on(pod: dict, container: dict) -> None:
    container["volumeMounts"] = [one for one in container["volumeMounts"] if one["mountPath"] != "/tmp"]
    container["command"] = ["sh", "-c", "touch /tmp/x && exec python -m concord triage"]


def _too_little_memory(pod: dict, container: dict) -> None:
    container["resources"]["limits"]["memory"] = "24Mi"


def _other_user(pod: dict, container: dict) -> None:
    pod["securityContext"]["runAsUser"] = 0
    container["command"] = ["sh", "-c", 'test "$(id -u)" = 10001 && exec python -m concord triage']


def _other_probe(pod: dict, container: dict) -> None:
    container["readinessProbe"]["grpc"]["service"] = "concord.v1.TriagService"


# Of triage's pod, each of which must fail the check.
PLANTS: Mapping[str, Callable[[dict, dict], None]] = {
    "a URL of the log that is none": _log_elsewhere,
    "a key that S3 does not know": _no_key,
    "a command that is none": _other_command,
    "no folder to write on": _nothing_to_write_on,
    "less memory than Python takes": _too_little_memory,
    "another user": _other_user,
    "a probe of another service": _other_probe,
}
# A probe that never answers is waited for so long.
PLANT_S = 60.0


def test_plants(pods: Pods, workload: Mapping) -> float:
    """Each planted field fails the check, beside pods that are well. Seconds."""
    began = time.monotonic()
    for plant in PLANTS:
        changed = planted(plant, workload)
        try:
            pods.run("planted", changed)
            pods.wait("planted", changed, PLANT_S)
        except AssertionError as error:
            print(f"pods: {plant}: refused: {str(error).strip().splitlines()[-1][:160]}", flush=True)
        else:
            raise AssertionError(f"{plant}, planted in the manifest, is not found")
        finally:
            docker("rm", "--force", f"{NETWORK}-planted", ok=True)
    return round(time.monotonic() - began, 1)


def _ok(*words: str) -> bool:
    return subprocess.run(["docker", *words], capture_output=True).returncode == 0


def test(folder: Path) -> dict[str, float]:
    """Every pod of dev up by its own probes, a run through the door, and every probe once more. Seconds of each."""
    pods = Pods(folder)
    try:
        up_s, run_s, plain = _up_and_run(pods, f"127.0.0.1:{pods.door}")
        plants_s = test_plants(pods, workloads(pods.manifests)["triage"])
    finally:
        pods.clear()
    guarded = Pods(folder / "guarded", tls=True)
    own = guarded.folder / "tls/me"
    files = f"cert_file={own}/tls.crt&key_file={own}/tls.key&ca_file={own}/ca.crt"
    try:
        tls_up_s, tls_run_s, over_tls = _up_and_run(guarded, f"tls://localhost:{guarded.door}?{files}")
        assert over_tls == plain, "another dataset over TLS"
        _nobody_without_a_certificate(guarded)
    finally:
        guarded.clear()
    return {
        "up": up_s,
        "a run of 300 pairs through the door": run_s,
        f"{len(PLANTS)} planted fields, each refused": plants_s,
        "up with TLS between all services": tls_up_s,
        "the same run over TLS": tls_run_s,
    }


def _up_and_run(pods: Pods, address: str) -> tuple[float, float, str]:
    """Seconds until all probes answer, seconds of the run, and its dataset's hash."""
    pods.clear()
    docker("network", "create", NETWORK)
    began, all_of_them = time.monotonic(), workloads(pods.manifests)
    for name in (*FIRST, *(name for name in all_of_them if name not in (*FIRST, "door")), "door"):
        pods.run(name, all_of_them[name])
        if name in (*FIRST, "runs"):
            pods.wait(name, all_of_them[name])
    for name, workload in all_of_them.items():
        pods.wait(name, workload)
        print(f"pods: {name} answers all its probes", flush=True)
    up_s, began = time.monotonic() - began, time.monotonic()
    sha256, rows = dataset(address, 0)
    assert sha256 and rows
    run_s = time.monotonic() - began
    for name, workload in all_of_them.items():
        pods.wait(name, workload)
    return round(up_s, 1), round(run_s, 1), sha256


def _nobody_without_a_certificate(pods: Pods) -> None:
    """Neither past the door nor into a service itself, in plain or over TLS with nothing to show."""
    for place in (f"localhost:{pods.door}", f"{pods.address('runs')}:7070"):
        for address in (place, f"tls://{place}?ca_file={pods.folder}/tls/me/ca.crt"):
            assert why_not(address), f"{address} lets in whoever comes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", type=Path, help="write the times there")
    given = parser.parse_args()
    # Before anything runs: the load that it found, not its own.
    found = circumstances({})
    with engine() as (host, why):
        if why:
            print(f"pods: NOT TESTED: {why}", flush=True)
            return 0
        os.environ["DOCKER_HOST"] = host
        install_kafka()
        images = [str(ROOT / "deploy/local/images.sh"), str(WORK)]
        subprocess.run(images, env={**os.environ, "TAG": TAG}, check=True)
        with tempfile.TemporaryDirectory(dir=WORK) as folder:
            Path(folder).chmod(0o755)
            seconds = test(Path(folder))
        print(json.dumps(seconds, indent=2))
        if given.json:
            given.json.write_text(json.dumps({**found, "seconds": seconds}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
