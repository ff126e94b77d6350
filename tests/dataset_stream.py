"""A dataset as the front door streams it."""

import time
from collections.abc import Iterator

import grpc

from concord.client.run.drive import wait_for_another
from concord.v1 import runs_service_pb2 as pb
from concord.v1.runs_service_pb2_grpc import RunServiceStub


def read_dataset(runs: RunServiceStub, run_id: str) -> Iterator[bytes]:
    """The dataset's JSON Lines in pieces, which may end anywhere.

    Where the replica that sends them goes away, another one goes on: a finished dataset is the same everywhere.
    """
    read, away_since = 0, time.monotonic()
    while True:
        passed = 0
        try:
            for answer in runs.ReadDataset(pb.ReadDatasetRequest(run_id=run_id)):
                piece = answer.chunk[max(0, read - passed) :]
                passed += len(answer.chunk)
                if piece:
                    read, away_since = read + len(piece), time.monotonic()
                    yield piece
            return
        except grpc.RpcError as error:
            wait_for_another(error, away_since)
