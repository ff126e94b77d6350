"""What is wrong with an installation, its settings, its back ends or a run, in words and with what to do. PURE.

Findings are computed from values: `probes` looks, this module judges. Notes say what was looked at and is well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from concord.operate.diagnose import Finding

GIB = 2**30
LEAST_FREE = GIB
EXTRAS = {
    "kafka": "a log on Kafka, for more than one machine",
    "postgres": "a store in PostgreSQL, for more than one machine",
    "s3": "blobs in an S3 bucket, for more than one machine",
    "gcs": "blobs in a bucket of Google Cloud Storage, for more than one machine",
    "data": "Parquet and Arrow, in and out",
    "verify": "formulas compared by computation, when answers are checked",
    "web": "pages for annotators and operators in a browser",
    "tracing": "traces to an OpenTelemetry collector",
    "torch": "reward models and policies that TRL trains, rewards by a transformer",
    "dev": "Concord's own tests and checks",
    "bench": "the benchmarks",
    "encoder": "sentence vectors for benchmarks",
    "trl": "TRL's trainers on what `concord export` writes",
}


@dataclass(frozen=True)
class Package:
    """What is installed: `extras` are names with the packages of each that are missing."""

    python: tuple[int, int]
    least_python: tuple[int, int]
    missing: Sequence[str]  # of those that Concord always needs
    extras: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """A place on disk that a setting names; `error` in words, empty where it can be written."""

    setting: str
    path: str
    error: str
    free_bytes: int | None


@dataclass(frozen=True)
class Backend:
    """A log, store or blob store; `error` in words, empty where it opened and answered."""

    setting: str
    what: str
    error: str
    begun: bool = True  # False: nothing is there yet, and nothing was opened
    do: str = ""  # where the error alone does not say it


@dataclass(frozen=True)
class Health:
    """All findings, and what was looked at beside them."""

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def plus(self, other: "Health") -> "Health":
        """Both, in order."""
        return Health(self.findings + other.findings, self.notes + other.notes)


# Which extra a back end needs: by the setting, its URL's beginning.
NEEDED = (
    ("CONCORD_LOG_URL", "kafka:", "kafka", "Kafka"),
    ("CONCORD_STATE_URL", "postgres", "postgres", "PostgreSQL"),
    ("CONCORD_BLOB_URL", "s3:", "s3", "S3"),
    ("CONCORD_BLOB_URL", "gs:", "gcs", "Google Cloud Storage"),
)


def package_health(package: Package, urls: Mapping[str, str]) -> Health:
    """Python, the packages always needed, and the extras; a missing extra is a finding only where a setting needs it.

    `urls` are those of the three back ends, by the names of their settings.
    """
    findings = []
    is_, least = (".".join(map(str, version)) for version in (package.python, package.least_python))
    if package.python < package.least_python:
        says = f"this is Python {is_}, and {least} is the least"
        findings.append(Finding("installation", says, f"install Python {least} or newer"))
    if package.missing:
        findings.append(
            Finding(
                "installation",
                f"packages are missing or too old: {', '.join(package.missing)}",
                "install it again: pip install --upgrade concord-preference",
            )
        )
    for setting, begins, extra, what in NEEDED:
        if urls.get(setting, "").startswith(begins) and package.extras.get(extra):
            missing = ", ".join(package.extras[extra])
            findings.append(
                Finding(
                    "installation",
                    f"{setting} names {what}, and the extra `{extra}` is missing ({missing})",
                    f"pip install 'concord-preference[{extra}]'",
                )
            )
    return Health(tuple(findings), (f"Python {is_}", *map(_extra, package.extras.items())))


def _extra(item: tuple[str, Sequence[str]]) -> str:
    name, missing = item
    what = EXTRAS.get(name, "for something that this version of `doctor` does not know")
    how = f"absent; pip install 'concord-preference[{name}]'" if missing else "present"
    return f"extra {name} ({what}): {how}"


def allowance_health(lacks: Sequence[str]) -> Health:
    """What the system lets processes have; each of `lacks` ends with the command that mends it."""
    findings = (says.rpartition(": ") for says in lacks)
    return Health(
        tuple(Finding("settings", says, f"{do}, in the shell that starts it") for says, _, do in findings), ()
    )


def folder_health(folders: Sequence[Folder]) -> Health:
    """Whether what settings name can be written, and whether there is room."""
    findings, notes = [], []
    for folder in folders:
        if folder.error:
            findings.append(
                Finding(
                    "settings",
                    f"{folder.setting}: {folder.path} cannot be written: {folder.error}",
                    f"name a folder of yours in {folder.setting}, or let yourself write there",
                )
            )
        elif folder.free_bytes is not None and folder.free_bytes < LEAST_FREE:
            findings.append(
                Finding(
                    "settings",
                    f"{folder.path} has {gib(folder.free_bytes)} free; a run may need more than {gib(LEAST_FREE)}",
                    f"make room there, or name another folder in {folder.setting}",
                )
            )
        else:
            room = "" if folder.free_bytes is None else f", {gib(folder.free_bytes)} free"
            notes.append(f"{folder.setting}: {folder.path} can be written{room}")
    return Health(tuple(findings), tuple(notes))


def backend_health(backends: Sequence[Backend]) -> Health:
    """Whether log, store and blobs opened and answered."""
    findings, notes = [], []
    for backend in backends:
        if backend.error:
            do = backend.do or f"start it, or mend {backend.setting}; the message says which"
            findings.append(Finding("backends", f"{backend.what} does not work: {backend.error}", do))
        else:
            notes.append(
                f"{backend.what} " + ("answers" if backend.begun else "is not there yet; the first run makes it")
            )
    return Health(tuple(findings), tuple(notes))


def lock_health(held: Sequence[str], services: Sequence[str]) -> Health:
    """Which services another process runs on this SQLite log; a part of them alone leaves runs standing."""
    running = [name for name in services if name in held]
    if not running:
        return Health((), ("no process runs services on this log now",))
    note = f"another process runs {', '.join(running)} here; `concord run` in this folder waits until that process ends"
    missing = [name for name in services if name not in held]
    if not missing:
        return Health((), (note,))
    return Health(
        (
            Finding(
                "backends",
                f"services run here, but not {', '.join(missing)}: runs come to a stand where those are needed",
                f"start them: concord serve {' '.join(missing)}",
            ),
        ),
        (note,),
    )


def gib(size: int) -> str:
    """`3.2 GiB`."""
    return f"{size / GIB:,.1f} GiB"


def as_json(health: Health) -> dict[str, object]:
    """Plain values for `--json`."""
    return {
        "well": not health.findings,
        "findings": [vars(found) for found in health.findings],
        "notes": list(health.notes),
    }


def lines(health: Health) -> list[str]:
    """For a terminal: what is wrong first, each with what to do."""
    out = []
    for found in health.findings:
        out += [f"✗ {found.about}: {found.says}", f"  → {found.do}"]
    count = len(health.findings)
    said = "nothing wrong was found" if not count else f"{count} finding{'s' if count > 1 else ''}"
    return [*out, *(f"· {note}" for note in health.notes), said]
