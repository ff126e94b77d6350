"""What may be read of runs, from here or through the front door of services that run elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import grpc

from concord.v1 import runs_service_pb2 as pb
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2_grpc import RunServiceStub
from services.client import drive, history
from services.kit import rpc
from services.kit.blobs import Blobs, verified
from services.kit.log import Log, Record
from services.kit.topics import FACTS, fact_partition


@dataclass(frozen=True)
class Records:
    """Facts and blobs, wherever they lie."""

    # Run id → its facts and their append times, in order, duplicates left out.
    events: Callable[[str], list[tuple[Event, float]]]
    # A blob's URI → its content.
    blob: Callable[[str], bytes]


def here(log: Log, blobs: Blobs) -> Records:
    """Read from log and blob store themselves."""
    return Records(lambda run_id: history.events(log, run_id), blobs.get)


@contextmanager
def there(address: str) -> Iterator[Records]:
    """Read over gRPC: who only knows a front door needs neither the log's address nor the blob store's."""
    with rpc.channel(address) as channel:
        runs = RunServiceStub(channel)
        yield Records(lambda run_id: _events(runs, address, run_id), lambda uri: _blob(runs, address, uri))


def _events(runs: RunServiceStub, address: str, run_id: str) -> list[tuple[Event, float]]:
    partition, key = fact_partition(run_id), run_id.encode()
    answers = _whole(address, lambda: runs.ReadFacts(pb.ReadFactsRequest(run_id=run_id)))
    records = (
        Record(FACTS.name, partition, fact.offset, key, fact.event, fact.at) for answer in answers for fact in answer.facts
    )
    return [(fact.event, fact.at) for fact in history.facts(records)]


def _blob(runs: RunServiceStub, address: str, uri: str) -> bytes:
    answers = _whole(address, lambda: runs.ReadBlob(pb.ReadBlobRequest(uri=uri)))
    return verified(uri, b"".join(answer.chunk for answer in answers))


def _whole(address: str, ask: Callable[[], Iterator]) -> list:
    """All that a stream says; where its replica goes away, from the start again on another one."""
    began = time.monotonic()
    with drive.translated(address):
        while True:
            try:
                return list(ask())
            except grpc.RpcError as error:
                drive.wait_for_another(error, began)
