"""What may be read of runs, wherever they lie, and how it is read through the front door of services elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID, uuid4

import grpc

from concord.client.run import drive, preflight
from concord.kit import rpc
from concord.kit.blobs import verified
from concord.kit.blobs.pieces import checked
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.log import Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.events import events_of
from concord.kit.plural import many
from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2_grpc import RunServiceStub

MOST_RUNS_A_PAGE = 1_000
# A model may take so long to be read.
LARGE_S = 6 * 3_600.0


class Records(Protocol):
    """Runs, their facts and blobs, wherever they lie. What is not there raises NotFound; nothing is made or moved."""

    flag: str
    """What a command needs so that it reads there too: ` --server HOST:PORT`, or nothing."""

    server: str
    """The front door's address; empty: here."""

    def find(self, name: str) -> str:
        """The run that `name` means: its id, an unambiguous beginning of it (else InvalidInput), or `last`: no side run."""

    def views(self) -> Iterator[pb.RunView]:
        """All runs, oldest first, as a list shows them: without the account of their last round."""

    def view(self, run_id: str) -> pb.RunView:
        """The run's state; CORRUPT, with why, where its facts cannot be folded."""

    def of(self, run_id: str) -> Iterator[Record]:
        """The run's records in order, as they stand in the log."""

    def events(self, run_id: str) -> list[tuple[Event, float]]:
        """The run's events in order, each once, with their append times."""

    def given_up(self, run_id: str) -> int | None:
        """How many of the run's items lie among the dead letters; None where that cannot be seen."""

    def blob(self, uri: str) -> bytes:
        """A blob's content."""

    def pieces(self, uri: str) -> Iterator[bytes]:
        """The same a piece at a time, for what is too big to be held; raises Corrupt behind the last one."""


@contextmanager
def there(address: str) -> Iterator["There"]:
    """Reads over gRPC: who only knows a front door needs neither the log's address nor the store's or the blobs'."""
    preflight.check_address(address)
    with rpc.channel(address) as channel:
        yield There(RunServiceStub(channel), address)


class There:
    """The front door. Where the replica that answers goes away, another one is asked."""

    def __init__(self, door: RunServiceStub, address: str) -> None:
        self._door, self._address, self.server, self.flag = door, address, address, f" --server {address}"

    def find(self, name: str) -> str:
        if is_whole(name):
            return self.view(name).run_id
        none = f"no runs at {self._address} yet; `concord run …{self.flag}` begins one"
        sides = {view.run_id: bool(view.side_of) for view in self.views()}
        return chosen(list(sides), name, none, self.flag, sides.__getitem__)

    def views(self) -> Iterator[pb.RunView]:
        asked = pb.ListRunsRequest(page_size=MOST_RUNS_A_PAGE)
        while True:
            with drive.translated(self._address):
                page = self._door.ListRuns(asked)
            yield from page.runs
            if not page.next_page_token:
                return
            asked.page_token = page.next_page_token

    def view(self, run_id: str) -> pb.RunView:
        with drive.translated(self._address):
            return self._door.GetRun(pb.GetRunRequest(run_id=run_id)).run

    def of(self, run_id: str) -> Iterator[Record]:
        partition, key = fact_partition(run_id), run_id.encode()
        for answer in _whole(self._address, lambda: self._door.ReadFacts(pb.ReadFactsRequest(run_id=run_id))):
            for fact in answer.facts:
                yield Record(FACTS.name, partition, fact.offset, key, fact.event, fact.at)

    def events(self, run_id: str) -> list[tuple[Event, float]]:
        return events_of(self.of(run_id))

    def given_up(self, run_id: str) -> int | None:
        return None

    def letters(self, run_id: str) -> pb.ListDeadLettersResponse:
        """What workers gave up of the run, the newest first."""
        with drive.translated(self._address):
            return self._door.ListDeadLetters(pb.ListDeadLettersRequest(run_id=run_id))

    def put_back(self, run_id: str, why: str) -> int:
        """Puts those back that would change anything; how many. Raises Refused."""
        asked = pb.RequeueDeadLettersRequest(run_id=run_id, request_id=str(uuid4()), reason=why)
        with drive.translated(self._address):
            return self._door.RequeueDeadLetters(asked).put_back

    def blob(self, uri: str) -> bytes:
        answers = _whole(self._address, lambda: self._door.ReadBlob(pb.ReadBlobRequest(uri=uri)))
        return verified(uri, b"".join(answer.chunk for answer in answers))

    def pieces(self, uri: str) -> Iterator[bytes]:
        with drive.translated(self._address):
            answers = self._door.ReadBlob(pb.ReadBlobRequest(uri=uri), timeout=LARGE_S)
            yield from checked(uri, (answer.chunk for answer in answers))


def is_whole(name: str) -> bool:
    """Whether this is a run's id in full."""
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def chosen(
    known: Sequence[str], name: str, none: str, flag: str = "", is_side: Callable[[str], bool] = lambda run_id: False
) -> str:
    """The run among these, oldest first, that `name` means; `none` says why there is none at all.

    `last` is the last one in its own right, whatever was begun beside it since.
    """
    if not known:
        raise NotFound(none)
    if name == "last":
        return next((run_id for run_id in reversed(known) if not is_side(run_id)), known[-1])
    found = [run_id for run_id in known if run_id.startswith(name)] if name else []
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidInput(
            f"{name!r} is the beginning of {many(len(found), 'run')}; give more of it: {', '.join(found[:5])}"
        )
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
