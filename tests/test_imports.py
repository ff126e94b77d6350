"""The import rule: who may know whom. Read from the sources, so that a lazy import counts as well."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for p in (ROOT / "services").rglob("*.py"))
SERVICES = ("runs", "tasks", "labeling", "scoring", "triage", "training", "report")
# These put the services together, or look at them from the caller's side.
ROOTS = ("app", "child", "cli", "__main__", "client", "commands")
# torch and friends: only where big models are trained or scored; Kafka, PostgreSQL and S3: only where they are spoken to.
ONLY_IN = {
    "torch": ("scoring/torch.py", "training/reward.py", "training/policy.py"),
    "transformers": ("scoring/torch.py", "training/reward.py", "training/policy.py"),
    "trl": ("training/reward.py", "training/policy.py"),
    "kafka": ("kit/kafka_",),
    "psycopg": ("kit/postgres.py",),
    "alembic": ("kit/migrations/",),
    "s3fs": ("kit/s3_blobs.py",),
    "fsspec": ("kit/s3_blobs.py",),
    "botocore": ("kit/s3_blobs.py",),
    "sqlalchemy": (
        "kit/store.py",
        "kit/sql.py",
        "kit/postgres.py",
        "kit/migrations/",
        "tasks/slots.py",
        "tasks/tables.py",
        "labeling/answers.py",
    ),
    "fastapi": ("console/",),
    "matplotlib": ("report/pictures.py",),
    "huggingface_hub": ("labeling/wire.py", "client/fetch.py"),
    "pyarrow": ("client/columnar.py",),
    "sklearn": ("scoring/features.py",),
}
# What a pure module may use besides the standard library.
PURE_MAY = ("numpy", "scipy", "sklearn", "google", "concord", "services")
IMPURE = (
    "os",
    "sys",
    "time",
    "random",
    "socket",
    "subprocess",
    "threading",
    "asyncio",
    "pathlib",
    "sqlite3",
    "uuid4",
    "secrets",
)
PURE_KIT = ("fold", "ids", "topics", "log", "errors", "arrays", "facts", "urls")


def imported(path: Path) -> set[str]:
    """Absolute dotted names that the file imports; relative ones are resolved."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    out = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            out |= {f"{module}.{alias.name}" for alias in node.names}
    return out


def room(path: Path) -> str:
    return path.relative_to(ROOT / "services").parts[0].removesuffix(".py")


def says_pure(path: Path) -> bool:
    """A module is pure if a sentence of its docstring says so."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return bool(re.search(r"(?:^|[.!?]\s+)(?:Pure|PURE)\b[.:;]", text))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_service_imports_no_other_service_and_the_kit_none(path):
    if room(path) in ROOTS:
        return
    mine = room(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "services" and len(parts) > 1 and parts[1] in SERVICES + ROOTS:
            assert parts[1] == mine, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("folder", ["services", "deploy"])
def test_nothing_that_runs_outside_of_the_tests_imports_them(folder):
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    for path in found:
        words = {name.split(".")[0] for name in imported(path)}
        assert "tests" not in words, f"{path.relative_to(ROOT)} imports {sorted(imported(path))}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_heavy_libraries_stay_in_their_rooms(library):
    for path in SOURCES:
        place = str(path.relative_to(ROOT / "services"))
        if any(name.split(".")[0] == library for name in imported(path)):
            assert place.startswith(ONLY_IN[library]), f"{place} imports {library}"


@pytest.mark.parametrize("path", [p for p in SOURCES if says_pure(p)], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_pure_module_touches_no_clock_file_or_network(path):
    for name in imported(path):
        parts = name.split(".")
        assert parts[0] not in IMPURE, f"{path.relative_to(ROOT)} imports {name}"
        if parts[:2] == ["services", "kit"]:
            assert parts[2] in PURE_KIT, f"{path.relative_to(ROOT)} imports {name}, which is not pure"


EXTRA = ("kafka", "psycopg", "alembic", "s3fs", "fsspec", "botocore", "pyarrow", "crc32c")


def test_without_the_extras_everything_starts_and_what_needs_one_says_which():
    """A fresh process in which none of their packages can be imported."""
    asked = f"""
import sys
for name in {EXTRA!r}:
    sys.modules[name] = None
import concord.__main__, concord.cli, concord.child
from concord.kit.errors import InvalidInput
from concord.kit.settings import from_environment, open_blobs, open_log, open_store
urls = (("LOG", open_log, "kafka://x:1"), ("STATE", open_store, "postgresql://x/y"), ("BLOB", open_blobs, "s3://x"))
for name, opened, url in urls:
    try:
        opened(from_environment({{f"CONCORD_{{name}}_URL": url}}))
    except InvalidInput as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert re.findall(r"pip install 'concord-preference\[(\w+)\]'", done.stdout) == ["kafka", "postgres", "s3"], (
        done.stderr
    )


def test_the_folds_and_the_algorithms_are_declared_pure():
    pure = {str(path.relative_to(ROOT / "services")) for path in SOURCES if says_pure(path)}
    wanted = {
        "runs/loop.py",
        "runs/evolve.py",
        "runs/plan.py",
        "tasks/queue.py",
        "triage/posterior.py",
        "triage/ask.py",
        "triage/rounds.py",
        "labeling/judge.py",
        "scoring/features.py",
        "preference/head.py",
        "kit/fold.py",
    }
    assert wanted <= pure, wanted - pure
