"""Settings of a process, from the environment; and the only place that turns URLs into logs, stores and blobs.

Three URLs are the whole infrastructure. They choose back ends and change no result.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

from concord.kit.blobs import Blobs, FileBlobs
from concord.kit.egress import SETTING, Egress, parse
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.log import Log
from concord.kit.log.sqlite import SqliteLog
from concord.kit.secure import parsed
from concord.kit.store import SqlStore
from concord.kit.store.sql import open_engine
from concord.kit.urls import without_secrets


@dataclass(frozen=True)
class Settings:
    """One field for each variable `CONCORD_<NAME>`; the defaults are those of a laptop."""

    home: str = "concord-data"
    log_url: str = ""
    state_url: str = ""
    blob_url: str = ""
    # Where gRPC listens, HOST:PORT or with files as kit/secure.py says; port 0 picks a free one.
    listen: str = "127.0.0.1:7070"
    # The front door that workers ask whether a run was cancelled: HOST:PORT. Empty: they look into the store themselves.
    runs_address: str = ""
    # Prometheus' port; 0: none.
    metrics_port: int = 0
    # Units at once in each worker.
    concurrency: int = 4
    # Child processes that compute features and rewards; 0: threads of the service; -1: one a core.
    processes: int = -1
    # GPUs that the training of one language model has; several trainings share those of the machine.
    unit_devices: int = 1
    # Judge requests in flight, over all units of a process.
    judge_concurrency: int = 64
    # Names of the environment variables that judges may take their keys from, with commas between; NAME@URL: for
    # addresses under this URL alone.
    judge_keys: str = ""
    # Where judges may be beside public addresses: networks, addresses, host names, `private`, `public`, with commas between; empty:
    # `private` where only this machine reaches us, else `public`.
    judge_networks: str = ""
    # A file with the teams that runs belong to, their quotas and keys; empty: there are none.
    teams_file: str = ""
    # Seconds between two looks at a batch that was handed in to a judge.
    batch_look_s: float = 60.0
    lease_s: float = 600.0
    reissue_after_s: float = 120.0
    # Connections that the process may have to PostgreSQL at once.
    state_connections: int = 8
    # Days for which a judge's answers are kept; 0: for ever.
    answer_days: float = 0.0
    # The log that may take the place of another one, for which the store asks: set once.
    new_log: str = ""
    # Units that run when the process is told to stop may go on for so long; less than a pod is given to end.
    grace_s: float = 20.0
    log_level: str = "info"
    # Where traces go, http://HOST:4317 of an OTLP collector; empty: nothing is traced.
    traces: str = ""
    # Where the pages listen; port 0 picks a free one.
    console_listen: str = "127.0.0.1:7080"
    # What links begin with; empty: http:// and where the pages listen.
    console_url: str = ""
    # The front door that the pages ask; of `concord console` alone.
    console_door: str = "127.0.0.1:7070"
    # A file with the secret that links are signed with; empty: one in the home, made when it is first needed.
    console_secret_file: str = ""
    # Proxies whose identity header is believed, as addresses or networks with commas between; none: nobody's.
    console_proxies: str = ""
    console_identity_header: str = "X-Forwarded-User"
    # Whom such a proxy may name, and as what: NAME=ROLE,…; `*` as a name: anybody.
    console_people: str = ""

    def resolved(self) -> "Settings":
        """With the URLs that follow from `home` where none is given."""
        home = Path(self.home).absolute()
        urls = {
            "log_url": self.log_url or f"sqlite:///{home / 'log.sqlite'}",
            "state_url": self.state_url or f"sqlite:///{home / 'state.sqlite'}",
            "blob_url": self.blob_url or f"file://{home / 'blobs'}",
        }
        return Settings(**{**vars(self), **urls})

    def shown(self) -> dict[str, object]:
        """Every setting as it may be printed: URLs without their passwords."""
        urls = {name: without_secrets(value) for name, value in vars(self).items() if name.endswith("_url")}
        return {**vars(self), **urls}


def from_environment(environment: Mapping[str, str] = os.environ, **given: object) -> Settings:
    """`CONCORD_LOG_URL` becomes `log_url` and so on; what is given by name wins. Unknown variables are refused."""
    kinds: dict[str, type] = {field.name: type(field.default) for field in fields(Settings)}
    values: dict[str, object] = {}
    for variable, text in environment.items():
        name = variable.removeprefix("CONCORD_").lower()
        if not variable.startswith("CONCORD_") or name in IGNORED:
            continue
        if name not in kinds:
            known = ", ".join(f"CONCORD_{n.upper()}" for n in kinds)
            raise InvalidInput(f"{variable} is not a setting; there are: {known}")
        try:
            values[name] = _whole(text) if name == "processes" else kinds[name](text)
        except ValueError:
            raise InvalidInput(
                f"{variable}={text!r} is not {'a number' if kinds[name] is not str else 'text'}"
            ) from None
    return _checked(Settings(**{**values, **given}).resolved())  # type: ignore[arg-type]


def _whole(text: str) -> int:
    """So many processes as a limit of CPUs grants, which may be a fraction of one: rounded down, and no fewer than one."""
    cpus = float(text)
    return int(cpus) if cpus <= 0 or cpus >= 1 else 1


RANGES = {
    "metrics_port": (0, 65_535),
    "concurrency": (1, 1_000),
    "processes": (-1, 1_000),
    "unit_devices": (1, 1_000),
    "judge_concurrency": (1, 10_000),
    "state_connections": (1, 1_000),
    "answer_days": (0, 100_000),
    "batch_look_s": (0.05, 86_400),
    "lease_s": (0.001, 1e9),
    "reissue_after_s": (0.001, 1e9),
    "grace_s": (0, 1e6),
}
LEVELS = ("debug", "info", "warning", "error", "critical")
LISTEN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


def _checked(settings: Settings) -> Settings:
    """The settings, or InvalidInput that names the variable that cannot be."""
    for name, (low, high) in RANGES.items():
        value = getattr(settings, name)
        # Written so that NaN, which is in no range, is refused as well.
        if not low <= value <= high:
            raise InvalidInput(f"CONCORD_{name.upper()}={value}: a number from {low:g} to {high:g} is expected")
    if settings.log_level.lower() not in LEVELS:
        raise InvalidInput(f"CONCORD_LOG_LEVEL={settings.log_level!r} is not one of {', '.join(LEVELS)}")
    for name in ("listen", "console_listen"):
        said = getattr(settings, name)
        place = LISTEN.fullmatch(parsed(said)[0] if name == "listen" else said)
        if place is None or int(place[2]) > 65_535:
            raise InvalidInput(
                f"CONCORD_{name.upper()}={getattr(settings, name)!r}: HOST:PORT is expected, such as {getattr(Settings, name)}"
            )
    try:
        parse(settings.judge_networks)
    except ValueError as error:
        raise InvalidInput(
            f"{SETTING}={settings.judge_networks!r}: {error}; 10.1.0.0/16,vllm.models.svc is expected, or private, or public"
        ) from None
    if settings.console_url and not re.fullmatch(r"https?://[^\s/?#]+/?", settings.console_url):
        raise InvalidInput(
            f"CONCORD_CONSOLE_URL={settings.console_url!r}: what links begin with is expected, such as https://annotate.example.org"
        )
    return settings


def host_of(listen: str) -> str:
    """HOST of HOST:PORT, without the brackets of an IPv6 address."""
    return listen.rpartition(":")[0].strip("[]")


def is_loopback(listen: str) -> bool:
    """Whether HOST:PORT can be reached from this machine alone."""
    host = host_of(listen)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def allowed_keys(settings: Settings, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment variables that judges may take their keys from, and no other; empty where one is not set.

    A run's configuration names the variable and the URL that its key is sent to, so whoever may create runs could read
    any variable if any were allowed.
    """
    return {name: environ.get(name, "") for name in key_homes(settings)}


def key_homes(settings: Settings) -> Mapping[str, tuple[str, ...]]:
    """Where the key of each variable may be sent: addresses under one of these URLs; none of them: anywhere."""
    homes: dict[str, tuple[str, ...]] = {}
    for said in filter(None, (one.strip() for one in settings.judge_keys.split(","))):
        name, _, home = said.partition("@")
        homes[name] = (*homes.get(name, ()), home) if home else ()
    return homes


def egress(settings: Settings) -> Egress:
    """Where judges may be. Whoever reaches this process may name their URLs: where that is this machine alone, it is its user."""
    return parse(settings.judge_networks or ("private" if is_loopback(parsed(settings.listen)[0]) else "public"))


# Read elsewhere: the tests' data, and keys of judges that a run's configuration names.
IGNORED = frozenset({"data", "api_key", "bench"})


def open_log(settings: Settings) -> Log:
    """The log that CONCORD_LOG_URL names: `sqlite:///PATH` or `kafka://HOST:PORT`; what is missing there is made."""
    scheme = _scheme(settings.log_url)
    if scheme == "sqlite" and (path := _sqlite_path(settings.log_url)):
        return SqliteLog(path)
    if scheme == "kafka":
        return _kafka().KafkaLog(settings.log_url)
    raise InvalidInput(
        f"CONCORD_LOG_URL={without_secrets(settings.log_url)!r}: sqlite:///PATH or kafka://HOST:PORT is expected"
    )


def look_at_log(settings: Settings) -> Log:
    """The same for who only reads: makes no file and no topic. Raises NotFound where there is no log."""
    if _scheme(settings.log_url) == "kafka":
        kafka = _kafka()
        return kafka.KafkaLog(settings.log_url, kafka.topics.found)
    path = _sqlite_path(settings.log_url)
    if path is not None and not path.exists():
        raise NotFound(f"there is no log at {path}; CONCORD_LOG_URL or --log names another")
    return open_log(settings)


def _kafka() -> ModuleType:
    try:
        from concord.kit.log.kafka import log
    except ModuleNotFoundError as error:
        raise InvalidInput(f"{error}: Kafka needs the extra, pip install 'concord-preference[kafka]'") from None
    return log


def open_store(settings: Settings) -> SqlStore:
    """The store that CONCORD_STATE_URL names: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`."""
    if _scheme(settings.state_url) in ("postgresql", "postgres"):
        return SqlStore(open_engine(settings.state_url, connections=settings.state_connections))
    path = _sqlite_path(settings.state_url)
    if path is None:
        raise InvalidInput(
            f"CONCORD_STATE_URL={without_secrets(settings.state_url)!r}: sqlite:///PATH or "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE is expected"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(
            f"the store's folder {path.parent} cannot be made: {error.strerror}; choose another with CONCORD_STATE_URL"
        ) from error
    return SqlStore(open_engine(settings.state_url))


def look_at_store(settings: Settings) -> SqlStore:
    """The same for who only reads: makes no file. Raises NotFound where there is no store."""
    path = _sqlite_path(settings.state_url)
    if path is not None and not path.exists():
        raise NotFound(f"there is no store at {path}; CONCORD_STATE_URL names another")
    return open_store(settings)


def open_blobs(settings: Settings) -> Blobs:
    """The blob store that CONCORD_BLOB_URL names: `file:///PATH`, `s3://BUCKET/PREFIX?…` or `gs://BUCKET/PREFIX?…`."""
    if _scheme(settings.blob_url) == "s3":
        try:
            from concord.kit.blobs.s3 import s3_blobs
        except ModuleNotFoundError as error:
            raise InvalidInput(f"{error}: S3 needs the extra, pip install 'concord-preference[s3]'") from None
        return s3_blobs(settings.blob_url)
    if _scheme(settings.blob_url) == "gs":
        try:
            from concord.kit.blobs.gcs import gcs_blobs
        except ModuleNotFoundError as error:
            raise InvalidInput(
                f"{error}: Google Cloud Storage needs the extra, pip install 'concord-preference[gcs]'"
            ) from None
        return gcs_blobs(settings.blob_url)
    rest = settings.blob_url.removeprefix("file:///")
    if _scheme(settings.blob_url) != "file" or not rest or rest == settings.blob_url:
        raise InvalidInput(
            f"CONCORD_BLOB_URL={without_secrets(settings.blob_url)!r}: file:///PATH, s3://BUCKET/PREFIX "
            "or gs://BUCKET/PREFIX is expected"
        )
    return FileBlobs(Path("/" + rest))


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:  # such as kafka://[::1
        return ""


def _sqlite_path(url: str) -> Path | None:
    """PATH of sqlite:///PATH, relative or absolute; None for another URL."""
    rest = url.removeprefix("sqlite:///")
    return Path(rest) if rest and rest != url else None
