"""Looks at what is there, for `doctor` to judge: packages, folders, locks, back ends, a run. Makes and moves nothing."""

import fcntl
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import metadata
from pathlib import Path

from concord.client.run import preflight
from concord.kit import allowance
from concord.kit.blobs import Blobs
from concord.kit.errors import ConcordError, InvalidInput, NotFound
from concord.kit.loop.events import events_of
from concord.kit.loop.fold import restore_run
from concord.kit.settings import Settings, from_environment, look_at_store
from concord.operate import verify
from concord.operate.backends import backends
from concord.operate.diagnose import Finding, Observed, run_findings, run_notes
from concord.operate.doctor import (
    Folder,
    Health,
    Package,
    allowance_health,
    backend_health,
    folder_health,
    lock_health,
    package_health,
)
from concord.operate.local_records import Here, here
from concord.preference import answer_faults
from concord.report.alarms import alarms
from concord.runs import service as runs
from concord.runs.state import RunState
from concord.tasks import service as tasks
from concord.v1.runs_service_pb2 import RunStatus

DISTRIBUTION = "concord-preference"
MOST_NAMED = 5
_NEEDS = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?[^;]*(?:;.*extra == ['\"]([^'\"]+)['\"])?")


def package() -> Package:
    """What the installed distribution says it needs, and what of it is there."""
    said = metadata.metadata(DISTRIBUTION)
    least = re.search(r"(\d+)\.(\d+)", (said.get_all("Requires-Python") or [""])[0])
    extras: dict[str, list[str]] = {name: [] for name in said.get_all("Provides-Extra") or ()}
    missing: list[str] = []
    for line in metadata.requires(DISTRIBUTION) or ():
        found = _NEEDS.match(line)
        if found and found[1] != DISTRIBUTION and not _installed(found[1]):
            extras.setdefault(found[2], []).append(found[1]) if found[2] else missing.append(found[1])
    return Package(sys.version_info[:2], (int(least[1]), int(least[2])) if least else (3, 11), missing, extras)


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def folders(settings: Settings) -> list[Folder]:
    """The places on disk that the settings name, each once."""
    named = {"CONCORD_HOME": settings.home}
    for setting, url in (("LOG", settings.log_url), ("STATE", settings.state_url)):
        if url.startswith("sqlite:///"):
            named[f"CONCORD_{setting}_URL"] = str(Path(url.removeprefix("sqlite:///")).parent)
    if settings.blob_url.startswith("file:///"):
        named["CONCORD_BLOB_URL"] = "/" + settings.blob_url.removeprefix("file:///")
    once = {str(Path(path).absolute()): setting for setting, path in reversed(named.items())}
    return [_folder(setting, Path(path)) for path, setting in reversed(once.items())]


def _folder(setting: str, path: Path) -> Folder:
    """The folder, or where it is not there yet the one that it would be made in."""
    there = next(place for place in (path, *path.parents) if place.exists())
    if not there.is_dir():
        return Folder(setting, str(path), f"{there} is a file", None)
    error = "" if os.access(there, os.W_OK | os.X_OK) else f"you may not write in {there}"
    return Folder(setting, str(path), error, shutil.disk_usage(there).free)


def held_groups(settings: Settings, services: Collection[str]) -> list[str] | None:
    """Those of the services that a process runs on this SQLite log now; None on Kafka, which knows by itself.

    A shared lock is tried and let go at once: it fails only where a process holds the group.
    """
    if not settings.log_url.startswith("sqlite:///"):
        return None
    log = Path(settings.log_url.removeprefix("sqlite:///"))
    return [name for name in services if _held(Path(f"{log}.{name}.lock"))]


def _held(path: Path) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def judges(run: RunState, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The run's judges that cannot be reached, or whose key is not there."""
    for judge in (run.view.config.judge, *run.view.config.helpers, *run.view.config.generators):
        try:
            preflight.check((judge,), environ)
        except ConcordError as error:
            yield Finding(
                "backends", str(error), "start it or mend its address; for a key, set the variable that it names"
            )


def examine(name: str, now: float, services: Collection[str], environ: Mapping[str, str] = os.environ) -> Health:
    """The place, and the run called `name` unless that is empty or the back ends do not answer.

    `services`: the names of all that there are. Raises NotFound or InvalidInput for a name that means no run.
    """
    try:
        settings = from_environment(environ)
    except ConcordError as error:
        wrong = Finding("settings", str(error), "set it otherwise, or unset it: the defaults are those of a laptop")
        return Health((wrong,), ()).plus(package_health(package(), environ))
    health = place(settings, services)
    if name and _answer(health):
        ask = partial(patient, settings, name, now, services, environ)
        health = health.plus(_looked("run", f"run {name}", ask, but=(NotFound, InvalidInput)))
    return health


def _looked(about: str, what: str, look: Callable[[], Health], but: tuple[type[Exception], ...] = ()) -> Health:
    """What `look` finds; an error that keeps it from looking is a finding too, so that the other checks come to their turn."""
    try:
        return look()
    except (ConcordError, OSError, MemoryError, RuntimeError, ValueError) as error:
        if isinstance(error, but):
            raise
        why = allowance.want(error) or str(error) or type(error).__name__
        return Health((Finding(about, f"{what} cannot be looked at: {why}", "mend that first, then ask again"),), ())


def place(settings: Settings, services: Collection[str]) -> Health:
    """Installation, folders, back ends and locks."""
    urls = {f"CONCORD_{name.upper()}": getattr(settings, name) for name in ("log_url", "state_url", "blob_url")}
    health = package_health(package(), urls).plus(allowance_health(allowance.lacking()))
    health = health.plus(_looked("settings", "the folders", lambda: folder_health(folders(settings))))
    looked = backends(settings)
    health = health.plus(backend_health(looked))
    if _answer(health) and all(backend.begun for backend in looked if backend.setting == "CONCORD_STATE_URL"):
        health = health.plus(_looked("backends", "the store", lambda: Health((), _unfinished(settings))))
    return health.plus(_looked("backends", "the log's locks", lambda: _locks(settings, services)))


def _locks(settings: Settings, services: Collection[str]) -> Health:
    held = held_groups(settings, services)
    return Health((), ()) if held is None else lock_health(held, list(services))


def _answer(health: Health) -> bool:
    """Whether log, store and blobs can be asked about runs."""
    return not any(found.about == "backends" for found in health.findings)


def _unfinished(settings: Settings) -> tuple[str, ...]:
    """A line about the runs that have not ended, if there are any."""
    names = [run_id[:8] for run_id in look_at_store(settings).runs(runs.SERVICE, active_only=True)]
    more = ", …" if len(names) > MOST_NAMED else ""
    says = f"runs that have not ended: {', '.join(names[:MOST_NAMED])}{more}; `concord doctor RUN` looks at one"
    return (says,) if names else ()


def patient(
    settings: Settings, name: str, now: float, services: Collection[str], environ: Mapping[str, str] = os.environ
) -> Health:
    """One run. Raises NotFound or InvalidInput for a name that means none, and what the back ends raise."""
    with here(settings) as place:
        run_id = place.find(name)
        run = restore_run(runs.fold(), run_id, place.store.rows(runs.SERVICE, run_id))
        queue = restore_run(tasks.fold(), run_id, place.store.rows(tasks.SERVICE, run_id))
        held, corrupt = held_groups(settings, services), run.corrupt or queue.corrupt
        seen = _seen(place, run_id, run.state, run.offset, now, held, corrupt)
        tampered = tuple(_tampered(place, run_id, seen.lost))
    ended = run.state.view.status in (RunStatus.RUN_STATUS_FINISHED, RunStatus.RUN_STATUS_CANCELLED)
    unreachable = () if ended else tuple(judges(run.state, environ))
    return Health((*tampered, *run_findings(run.state, queue.state, seen), *unreachable), run_notes(run.state, seen))


def _tampered(place: Here, run_id: str, lost: Sequence[str]) -> Iterator[Finding]:
    """What `concord verify` finds, in one finding; blobs that are `lost` have one of their own."""
    found = verify.verified(place, run_id)
    flaws = [flaw for flaw in found.flaws if not any(uri in flaw.says for uri in lost)]
    if flaws:
        first = f"offset {found.first}" if found.first is not None else "an offset that cannot be told"
        says = f"its facts or blobs are not as they were recorded, from {first} on: {flaws[0].says}"
        yield Finding("run", says, f"`concord verify {run_id[:8]}` says more; restore CONCORD_HOME from a copy")


def _seen(
    place: Here, run_id: str, run: RunState, offset: int, now: float, held: list[str] | None, corrupt: str
) -> Observed:
    records = list(place.of(run_id))
    events = [event for event, _ in events_of(records)]
    facts = [(record.offset, record.at) for record in records]
    return Observed(
        now=now,
        last_fact_at=facts[-1][1] if facts else None,
        facts_behind=sum(at > offset for at, _ in facts),
        dead_letters=[letter.said.error for letter in place.dead_letters(run_id)],
        working=held,
        corrupt=corrupt,
        judged=answer_faults.standing(events),
        alarms=alarms(events, run.view.config),
        lost=[uri for uri in (run.view.pairs_uri, run.view.dataset_uri) if uri and _is_lost(place.blobs, uri)],
    )


def _is_lost(blobs: Blobs, uri: str) -> bool:
    try:
        blobs.get(uri)
    except NotFound:
        return True
    return False
