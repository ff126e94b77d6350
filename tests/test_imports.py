"""The import rule: who may know whom. Read from the sources, so that a lazy import counts as well."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(p for p in (ROOT / "services").rglob("*.py") if "v1" not in p.parts)
SERVICES = ("runs", "tasks", "labeling", "scoring", "triage", "training")
# Which rooms a room may know, besides itself. Whatever puts the services together (ROOTS) may know all.
SHARED = {"kit", "preference", "certificate", "reward", "sample", "checks", "redteam"}
MAY_KNOW = {
    "__init__": {"notebook"},
    "kit": set(),
    "preference": {"kit"},
    "certificate": {"kit", "preference"},
    "reward": {"kit", "preference"},
    "sample": {"preference"},
    "checks": {"kit", "preference"},
    "redteam": {"kit", "checks"},
    **{service: SHARED for service in SERVICES},
    "report": {"kit", "preference", "certificate", "reward"},
    "console": {"kit", "preference", "report", "client"},
    "client": SHARED | {"report"},
    "operate": SHARED | {"report", "client", *SERVICES},
}
ROOTS = ("wiring", "process", "embedded", "child", "cli", "__main__", "commands", "one_run", "home", "notebook")
# torch and friends: only where big models are trained or scored; Kafka, PostgreSQL and S3: only where they are spoken to.
ONLY_IN = {
    "torch": ("scoring/transformer.py", "training/fit/"),
    "transformers": ("scoring/transformer.py", "training/fit/"),
    "peft": ("scoring/transformer.py", "training/fit/"),
    "trl": ("training/fit/",),
    "datasets": ("training/fit/",),
    "opentelemetry": ("kit/tracing.py",),
    "kafka": ("kit/log/kafka/",),
    "psycopg": ("kit/store/postgres.py",),
    "alembic": ("kit/store/migrations/",),
    "s3fs": ("kit/blobs/s3.py",),
    "fsspec": ("kit/blobs/s3.py",),
    "gcsfs": ("kit/blobs/gcs.py",),
    "google.auth": ("kit/blobs/gcs.py",),
    "botocore": ("kit/blobs/s3.py",),
    "sqlalchemy": (
        "kit/store/",
        "tasks/following.py",
        "tasks/giving.py",
        "tasks/slots.py",
        "tasks/tables.py",
        "labeling/answer_cache.py",
        "labeling/batch_notes.py",
        "labeling/turns.py",
    ),
    **dict.fromkeys(
        ("starlette", "uvicorn", "markdown_it", "mdit_py_plugins", "latex2mathml", "pygments", "nh3"), ("console/",)
    ),
    "jinja2": ("console/", "reward/encoding.py"),
    "matplotlib": ("report/pictures.py",),
    "huggingface_hub": ("labeling/wire.py", "client/intake/fetch.py"),
    "pyarrow": ("client/intake/parquet.py",),
    "textual": ("client/annotate/screen.py",),
    "sklearn": ("reward/features.py",),
    "math_verify": ("checks/computing.py",),
}
# What a pure module may use besides the standard library.
PURE_MAY = ("numpy", "scipy", "sklearn", "google", "concord")
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
PURE_KIT = (
    "bounds",
    "plural",
    "usage",
    "loop.fold",
    "loop.facts",
    "loop.events",
    "log",
    "log.erased",
    "log.topics",
    "ids",
    "enums",
    "errors",
    "arrays",
    "urls",
    "redaction",
)


@cache
def imported(path: Path) -> set[str]:
    """Absolute dotted names that the file imports; relative ones are resolved."""
    first, *folders = path.relative_to(ROOT).parts[:-1]
    package = ("concord" if first == "services" else first, *folders)
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


def module_of(name: str) -> str:
    """The module that an imported dotted name lies in: `concord.kit.log.Log` is of `kit.log`."""
    parts = name.split(".")[1:]
    while parts and not ((place := ROOT / "services" / Path(*parts)).with_suffix(".py").exists() or place.is_dir()):
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_knows_only_the_rooms_that_it_may(path):
    mine = room(path)
    assert mine in MAY_KNOW or mine in ROOTS, f"say in MAY_KNOW whom {mine} may know"
    for name in imported(path):
        if mine in ROOTS or not name.startswith("concord.") or name.startswith("concord.v1"):
            continue
        assert module_of(name).split(".")[0] in {mine, *MAY_KNOW[mine]}, f"{path.relative_to(ROOT)} imports {name}"


def test_no_module_comes_back_to_itself_by_way_of_others():
    """Lazy imports count as well: two modules that need each other are one."""
    knows = {}
    for path in SOURCES:
        module = ".".join(path.relative_to(ROOT / "services").with_suffix("").parts).removesuffix(".__init__")
        knows[module] = {module_of(name) for name in imported(path) if name.startswith("concord.")} - {module}
    assert {"kit.store", "kit.store.sql"} <= set(TopologicalSorter(knows).static_order())


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
        if parts[:2] == ["concord", "kit"]:
            assert module_of(name).removeprefix("kit.") in PURE_KIT, (
                f"{path.relative_to(ROOT)} imports {name}, which is not pure"
            )


def loaded_by(asked: str) -> set[str]:
    """The modules that a fresh process has loaded once it has done what is asked."""
    said = subprocess.run(
        [sys.executable, "-c", f"import sys\n{asked}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ,
        check=True,
    )
    return set(said.stdout.split())


# What a front door stands for, so that whoever knows its address needs none of it.
BEHIND_THE_DOOR = {
    *(f"concord.{room}" for room in (*SERVICES, "operate", *ROOTS)),
    *("sqlalchemy", "kafka", "psycopg", "alembic", "s3fs", "botocore"),
}


@pytest.mark.parametrize("module", ["concord.client.run.drive", "concord.client.results.records"])
def test_a_console_drives_and_reads_runs_without_a_service_a_database_or_pictures(module):
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & (BEHIND_THE_DOOR | {"matplotlib", "numpy", "concord.report"})


@pytest.mark.parametrize("module", ["concord.training.reward", "concord.training.policy", "concord.scoring.batches"])
def test_a_spec_is_read_and_refused_without_torch(module):
    loaded = loaded_by(f"import {module}")
    assert module in loaded
    assert not loaded & {"torch", "transformers", "trl", "peft", "datasets", "concord.training.service"}


def test_no_part_of_the_client_loads_a_service_or_a_database():
    loaded = loaded_by("""
import importlib, pkgutil, concord.client
for found in pkgutil.walk_packages(concord.client.__path__, "concord.client."):
    importlib.import_module(found.name)
""")
    assert "concord.client.run.session" in loaded
    assert not loaded & BEHIND_THE_DOOR


def test_no_command_waits_for_what_only_some_commands_need():
    """All commands are imported for each of them."""
    loaded = loaded_by("import concord.cli")
    assert "concord.commands.replay" in loaded
    assert not loaded & {
        "matplotlib",
        "scipy",
        "huggingface_hub",
        "concord.wiring",
        "concord.labeling",
        "concord.training",
    }


EXTRA = (
    "kafka",
    "psycopg",
    "alembic",
    "s3fs",
    "fsspec",
    "botocore",
    "pyarrow",
    "crc32c",
    "starlette",
    "uvicorn",
    "jinja2",
    "nh3",
)


def test_without_the_extras_everything_starts_and_what_needs_one_says_which():
    """A fresh process in which none of their packages can be imported."""
    asked = f"""
import sys
for name in {EXTRA!r}:
    sys.modules[name] = None
import concord.__main__, concord.cli, concord.child
from concord.commands.console import check_names
from concord.kit.errors import InvalidInput
from concord.kit.settings import from_environment, open_blobs, open_log, open_store
urls = (("LOG", open_log, "kafka://x:1"), ("STATE", open_store, "postgresql://x/y"), ("BLOB", open_blobs, "s3://x"))
for name, opened, url in urls:
    try:
        opened(from_environment({{f"CONCORD_{{name}}_URL": url}}))
    except InvalidInput as error:
        print(error)
try:
    check_names("web", ["ann"])
except InvalidInput as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=ROOT, env=os.environ)
    assert re.findall(r"pip install 'concord-preference\[(\w+)\]'", done.stdout) == [
        "kafka",
        "postgres",
        "s3",
        "web",
    ], done.stderr


def test_the_folds_and_the_algorithms_are_declared_pure():
    pure = {str(path.relative_to(ROOT / "services")) for path in SOURCES if says_pure(path)}
    wanted = {
        "runs/loop.py",
        "runs/evolve.py",
        "runs/plan.py",
        "tasks/queue.py",
        "triage/posterior.py",
        "triage/selection.py",
        "triage/rounds.py",
        "labeling/judge.py",
        "reward/features.py",
        "reward/head.py",
        "kit/loop/fold.py",
    }
    assert wanted <= pure, wanted - pure
