"""The deployment files as values: compose with its defaults filled in, manifests as kubectl builds them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from deploy.local import programs

ROOT = Path(__file__).resolve().parent.parent
K8S = ROOT / "k8s"
OVERLAYS = ("dev", "prod", "prod-gpu")
VARIABLE = re.compile(r"\$\{(\w+)(?::-((?:[^${}]|\$\{[^}]*\})*))?\}")


def filled(text: str) -> str:
    """Compose's ${NAME:-default} as it is where no variable is set; a default may hold variables of its own."""
    while VARIABLE.search(text):
        text = VARIABLE.sub(lambda found: found[2] or "", text)
    return text


@cache
def compose() -> Mapping:
    """docker-compose.yml with the defaults of its variables."""
    return yaml.safe_load(filled((ROOT / "docker-compose.yml").read_text()))


def targets() -> tuple[str, ...]:
    """The stages of the Dockerfile."""
    return tuple(re.findall(r"^FROM \S+ AS (\w+)$", (ROOT / "deploy/Dockerfile").read_text(), re.M))


@cache
def built(overlay: str) -> tuple[Mapping, ...]:
    """The manifests of an overlay, as kubectl builds them. Raises RuntimeError that says what to install, or what it says."""
    return kustomized(str(K8S / "overlays" / overlay))


def kustomized(folder: str) -> tuple[Mapping, ...]:
    """The manifests of a folder. Raises RuntimeError as `built`."""
    command = [str(programs.kubectl()), "kustomize"]
    done = subprocess.run([*command, folder], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} {folder}: {done.stderr}")
    return tuple(yaml.safe_load_all(done.stdout))


@cache
def with_components(overlay: str, *names: str) -> tuple[Mapping, ...]:
    """The manifests of an overlay with more components; for that of teams, with the example of their file."""
    with TemporaryDirectory(dir=ROOT) as folder:
        up = f"../{K8S.name}"
        made = {"resources": [f"{up}/overlays/{overlay}"], "components": [f"{up}/components/{name}" for name in names]}
        if "teams" in names:
            shutil.copy(K8S / "examples/teams.yaml", folder)
            made |= {"configMapGenerator": [{"name": "concord-teams", "files": ["teams.yaml"]}]}
        if {"teams", "prune"} & set(names):
            made |= {"namespace": "concord"}
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(made))
        return kustomized(folder)


def of_kind(kind: str, manifests: tuple[Mapping, ...]) -> dict[str, Mapping]:
    """Name → manifest, of one kind."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def workloads(manifests: tuple[Mapping, ...]) -> dict[str, Mapping]:
    """Name → Deployment, StatefulSet or Job."""
    return {name: m for kind in ("Deployment", "StatefulSet", "Job") for name, m in of_kind(kind, manifests).items()}


def containers(workload: Mapping) -> list[Mapping]:
    """All containers of a workload's pods, those that run first among them."""
    spec = workload["spec"]["template"]["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def named(value: object, word: re.Pattern) -> Iterator[str]:
    """Every match of the word anywhere in a value."""
    yield from word.findall(json.dumps(value))
