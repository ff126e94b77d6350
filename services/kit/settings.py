"""Settings of a process, from the environment; and the only place that turns URLs into logs, stores and blobs.

Three URLs are the whole infrastructure. They choose back ends and change no result.
"""
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import urlsplit

from services.kit.blobs import Blobs, FileBlobs
from services.kit.errors import InvalidInput
from services.kit.log import Log
from services.kit.sqlite_log import SqliteLog
from services.kit.store import SqlStore, open_engine


@dataclass(frozen=True)
class Settings:
    """One field for each variable `CONCORD_<NAME>`; the defaults are those of a laptop."""

    home: str = "concord-data"
    log_url: str = ""
    state_url: str = ""
    blob_url: str = ""
    # Where gRPC listens; port 0 picks a free one.
    listen: str = "127.0.0.1:7070"
    # Prometheus' port; 0: none.
    metrics_port: int = 0
    # Units at once in each worker.
    concurrency: int = 4
    # Judge requests in flight, over all units of a process.
    judge_concurrency: int = 64
    lease_s: float = 600.0
    reissue_after_s: float = 120.0
    log_level: str = "info"

    def resolved(self) -> "Settings":
        """With the URLs that follow from `home` where none is given."""
        home = Path(self.home).absolute()
        urls = {
            "log_url": self.log_url or f"sqlite:///{home / 'log.sqlite'}",
            "state_url": self.state_url or f"sqlite:///{home / 'state.sqlite'}",
            "blob_url": self.blob_url or f"file://{home / 'blobs'}",
        }
        return Settings(**{**vars(self), **urls})


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
            values[name] = kinds[name](text)
        except ValueError:
            raise InvalidInput(f"{variable}={text!r} is not {'a number' if kinds[name] is not str else 'text'}") from None
    return Settings(**{**values, **given}).resolved()  # type: ignore[arg-type]


# Read elsewhere: the tests' data, and keys of judges that a run's configuration names.
IGNORED = frozenset({"data", "api_key", "bench"})


def open_log(settings: Settings) -> Log:
    """The log that CONCORD_LOG_URL names: `sqlite:///PATH` or `kafka://HOST:PORT`."""
    scheme = urlsplit(settings.log_url).scheme
    if scheme == "sqlite":
        return SqliteLog(_path(settings.log_url))
    if scheme == "kafka":
        try:
            from services.kit.kafka_log import KafkaLog
        except ModuleNotFoundError as error:
            raise InvalidInput(f"{error}: Kafka needs the extra, pip install 'concord-preference[kafka]'") from None
        return KafkaLog(settings.log_url)
    raise InvalidInput(f"CONCORD_LOG_URL={settings.log_url!r}: sqlite:///PATH or kafka://HOST:PORT is expected")


def open_store(settings: Settings) -> SqlStore:
    """The store that CONCORD_STATE_URL names."""
    if urlsplit(settings.state_url).scheme != "sqlite":
        raise InvalidInput(f"CONCORD_STATE_URL={settings.state_url!r}: sqlite:///PATH is expected")
    _path(settings.state_url).parent.mkdir(parents=True, exist_ok=True)
    return SqlStore(open_engine(settings.state_url))


def open_blobs(settings: Settings) -> Blobs:
    """The blob store that CONCORD_BLOB_URL names."""
    if urlsplit(settings.blob_url).scheme != "file":
        raise InvalidInput(f"CONCORD_BLOB_URL={settings.blob_url!r}: file:///PATH is expected")
    return FileBlobs(Path(urlsplit(settings.blob_url).path))


def _path(url: str) -> Path:
    return Path(url.split("///", 1)[1])
