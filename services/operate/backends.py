"""Whether log, store and blobs answer, and what to do where they do not. Makes and moves nothing."""

from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from concord.kit.errors import ConcordError, NotFound
from concord.kit.log import topics
from concord.kit.log.sqlite import damage
from concord.kit.settings import Settings, look_at_log, open_blobs, open_log, open_store
from concord.kit.store.sql import open_engine
from concord.kit.urls import without_secrets
from concord.operate.doctor import Backend
from concord.runs import service as runs

# What a back end says, and what to do about it.
SIGNS = (
    (
        "password authentication failed",
        "put the right password into CONCORD_STATE_URL, PGPASSWORD or the file of PGPASSFILE",
    ),
    ("no pg_hba.conf entry", "let this user and address in, in the server's pg_hba.conf, or ask with ?sslmode=require"),
    ("does not support SSL", "switch TLS on in the server, or leave ?sslmode out where the network is trusted"),
    ("too many clients", "raise the server's max_connections, or run fewer processes: each takes up to eight"),
    ("concord migrate", "run `concord migrate` once with a CONCORD_STATE_URL whose user may make tables"),
    ("no such bucket", "make the bucket, or name another in CONCORD_BLOB_URL"),
    ("refuses the key", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of a user who has these rights on the bucket"),
    ("no credentials", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role"),
)


DAMAGED = {
    "CONCORD_LOG_URL": "put a copy of the file in its place; without one, save what can be read: sqlite3 FILE .recover",
    "CONCORD_STATE_URL": "delete the file and those beside it that begin with its name: services make it again from the log",
}


def backends(settings: Settings) -> list[Backend]:
    """Log, store and blobs, each opened and asked something; a file or table that is not there yet is not made."""
    return [
        _backend("CONCORD_LOG_URL", "the log", settings.log_url, lambda: _ask_log(settings)),
        _backend("CONCORD_STATE_URL", "the store", settings.state_url, lambda: _ask_store(settings)),
        _backend(
            "CONCORD_BLOB_URL", "the blob store", settings.blob_url, lambda: open_blobs(settings).marker("doctor")
        ),
    ]


class _NotBegun(Exception):
    """Nothing is there yet; the first run makes it."""


def _backend(setting: str, what: str, url: str, ask: Callable[[], object]) -> Backend:
    what = f"{what} ({without_secrets(url)})"
    path = next((url.removeprefix(scheme) for scheme in ("sqlite:///", "file://") if url.startswith(scheme)), None)
    if path and not Path(path).exists():
        return Backend(setting, what, "", begun=False)
    if path and Path(path).is_file() and (found := damage(Path(path))):
        return Backend(setting, what, f"{path} is damaged: {found}", do=DAMAGED[setting])
    try:
        ask()
    except _NotBegun:
        return Backend(setting, what, "", begun=False)
    except (ConcordError, OSError, MemoryError, RuntimeError) as error:
        return Backend(setting, what, str(error), do=next((do for sign, do in SIGNS if sign in str(error)), ""))
    return Backend(setting, what, "")


def _ask_store(settings: Settings) -> None:
    """PostgreSQL's tables are looked at, not made: that is the first service's, or `concord migrate`'s."""
    if settings.state_url.startswith("postgres"):
        from concord.kit.store import migrations

        if migrations.standing(open_engine(settings.state_url)) is None:
            raise _NotBegun
    open_store(settings).runs(runs.SERVICE)


def _ask_log(settings: Settings) -> None:
    """Every topic that is there: on Kafka one that would not keep its promises is refused here."""
    try:
        log = look_at_log(settings)
    except NotFound:
        raise _NotBegun from None
    with closing(log):
        for topic in topics.ALL:
            with suppress(NotFound):  # made at its first use
                log.end(topic, 0)
    # The facts are there, so this makes nothing either: it looks whether they are kept for ever.
    open_log(settings).close()
