"""What may be read of runs: here, from what the settings name, or there, through the front door of services elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import cached_property
from typing import Protocol
from uuid import UUID

import grpc

from concord.client.run import drive, preflight
from concord.kit import rpc
from concord.kit.blobs import Blobs, verified
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.log import Log, Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop import run_records
from concord.kit.settings import Settings, look_at_log, look_at_store, open_blobs
from concord.kit.store import Store
from concord.kit.urls import without_secrets
from concord.operate import dead_letters as letters
from concord.runs import service as runs
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub

MOST_RUNS_A_PAGE = 1_000


class Records(Protocol):
    """Runs, their facts and blobs, wherever they lie. What is not there raises NotFound; nothing is made or moved."""

    flag: str
    """What a command needs so that it reads there too: ` --server HOST:PORT`, or nothing."""

    def find(self, name: str) -> str:
        """The run that `name` means: its id, an unambiguous beginning of it (else InvalidInput), or `last`."""

    def views(self) -> Iterator[pb.RunView]:
        """All runs, oldest first, as a list shows them: without the account of their last round."""

    def of(self, run_id: str) -> Iterator[Record]:
        """The run's records in order, as they stand in the log."""

    def given_up(self, run_id: str) -> int | None:
        """How many of the run's items lie among the dead letters; None where that cannot be seen."""

    def blob(self, uri: str) -> bytes:
        """A blob's content."""


def reading(settings: Settings, server: str = "") -> AbstractContextManager[Records]:
    """Where commands read: through the front door `server`, or what the settings name where that is empty."""
    if server:
        return there(server)
    return here(settings)


@contextmanager
def here(settings: Settings) -> Iterator["Here"]:
    """Reads log, store and blobs themselves."""
    with ExitStack() as opened:
        yield Here(settings, opened)


@contextmanager
def there(address: str) -> Iterator["There"]:
    """Reads over gRPC: who only knows a front door needs neither the log's address nor the store's or the blobs'."""
    preflight.check_address(address)
    with rpc.channel(address) as channel:
        yield There(RunServiceStub(channel), address)


class Here:
    """Log, store and blobs, each opened when it is first asked: a whole id needs no store, a list of runs no log."""

    flag = ""

    def __init__(self, settings: Settings, opened: ExitStack) -> None:
        self._settings, self._opened = settings, opened

    @cached_property
    def log(self) -> Log:
        return self._opened.enter_context(closing(look_at_log(self._settings)))

    @cached_property
    def store(self) -> Store:
        return self._opened.enter_context(closing(look_at_store(self._settings)))

    @cached_property
    def blobs(self) -> Blobs:
        return open_blobs(self._settings)

    def find(self, name: str) -> str:
        if _is_whole(name):
            next(self.of(name))
            return name
        none = (
            f"no runs in {self._settings.home} yet; `concord run` begins one. Those made elsewhere are found where "
            "CONCORD_STATE_URL names their store, or by their whole id"
        )
        return _chosen(self._known(), name, none)

    def _known(self) -> list[str]:
        """None where no run has made a store yet."""
        try:
            return self.store.runs(runs.SERVICE)
        except NotFound:
            return []

    def views(self) -> Iterator[pb.RunView]:
        for run_id in self._known():
            yield runs.restored(self.store, run_id, runs.BRIEF).view

    def of(self, run_id: str) -> Iterator[Record]:
        found = run_records.records(self.log, run_id)
        if (first := next(found, None)) is None:
            raise NotFound(f"no fact of run {run_id} stands in {without_secrets(self._settings.log_url)}")
        yield first
        yield from found

    def given_up(self, run_id: str) -> int | None:
        return len(self.dead_letters(run_id))

    def dead_letters(self, run_id: str) -> list[letters.Letter]:
        """The run's items that were given up and not put back since."""
        return [letter for letter in letters.read(self.log) if letter.run_id == run_id and letter.back_at is None]

    def blob(self, uri: str) -> bytes:
        return self.blobs.get(uri)


class There:
    """The front door. Where the replica that answers goes away, another one is asked."""

    def __init__(self, door: RunServiceStub, address: str) -> None:
        self._door, self._address, self.flag = door, address, f" --server {address}"

    def find(self, name: str) -> str:
        if _is_whole(name):
            with drive.translated(self._address):
                return self._door.GetRun(pb.GetRunRequest(run_id=name)).run.run_id
        none = f"no runs at {self._address} yet; `concord run …{self.flag}` begins one"
        return _chosen([view.run_id for view in self.views()], name, none, self.flag)

    def views(self) -> Iterator[pb.RunView]:
        asked = pb.ListRunsRequest(page_size=MOST_RUNS_A_PAGE)
        while True:
            with drive.translated(self._address):
                page = self._door.ListRuns(asked)
            yield from page.runs
            if not page.next_page_token:
                return
            asked.page_token = page.next_page_token

    def of(self, run_id: str) -> Iterator[Record]:
        partition, key = fact_partition(run_id), run_id.encode()
        for answer in _whole(self._address, lambda: self._door.ReadFacts(pb.ReadFactsRequest(run_id=run_id))):
            for fact in answer.facts:
                yield Record(FACTS.name, partition, fact.offset, key, fact.event, fact.at)

    def given_up(self, run_id: str) -> int | None:
        return None

    def blob(self, uri: str) -> bytes:
        answers = _whole(self._address, lambda: self._door.ReadBlob(pb.ReadBlobRequest(uri=uri)))
        return verified(uri, b"".join(answer.chunk for answer in answers))


def _is_whole(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def _chosen(known: Sequence[str], name: str, none: str, flag: str = "") -> str:
    """The run among these, oldest first, that `name` means; `none` says why there is none at all."""
    if not known:
        raise NotFound(none)
    if name == "last":
        return known[-1]
    found = [run_id for run_id in known if run_id.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(f"{name!r} is the beginning of {len(found)} runs; give more of it: {', '.join(found[:5])}")
    raise NotFound(f"no run {name!r}; `concord runs{flag}` lists them")


def _whole(address: str, ask: Callable[[], Iterator]) -> list:
    """All that a stream says; where its replica goes away, from the start again on another one."""
    began = time.monotonic()
    with drive.translated(address):
        while True:
            try:
                return list(ask())
            except grpc.RpcError as error:
                drive.wait_for_another(error, began)
