"""Runs that are watched cost two queries for all watchers together, and whoever finds no place asks now and then instead."""

import threading
import time

import grpc
import pytest

from concord.client.run import drive
from concord.kit.errors import Unavailable
from concord.kit.store import Position
from concord.kit.store.memory import MemoryStore
from concord.runs.watching import Watching
from concord.v1 import runs_service_pb2 as pb
from tests.waiting import until

RUN, OTHER = "run", "other"


class Counting(MemoryStore):
    """A store that counts how often it is asked, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.away = 0, False

    def positions(self, service: str) -> dict[int, int]:
        self.asked += 1
        if self.away:
            raise Unavailable("the store is away")
        return super().positions(service)


class Watched:
    """Views that the test changes, and watchers in threads of their own."""

    def __init__(self) -> None:
        self.store, self.reads, self.over = Counting(), 0, threading.Event()
        self.now = {RUN: pb.RunView(run_id=RUN), OTHER: pb.RunView(run_id=OTHER)}
        self.watching = Watching(self.store, "runs", self._views, look_s=0.005)
        self.seen: list[list[int]] = []
        self.errors: list[Exception] = []

    def _views(self, run_ids):
        self.reads += 1
        return {run_id: pb.RunView.FromString(self.now[run_id].SerializeToString()) for run_id in run_ids}

    def watch(self, run_id: str, count: int = 1) -> None:
        for _ in range(count):
            mine: list[int] = []
            self.seen.append(mine)
            threading.Thread(target=self._follow, args=(run_id, mine), daemon=True).start()

    def _follow(self, run_id: str, mine: list[int]) -> None:
        try:
            for view in self.watching.watch(run_id, self.now[run_id], self.over):
                mine.append(view.votes)
        except Unavailable as error:
            self.errors.append(error)

    def change(self, run_id: str, votes: int) -> None:
        self.now[run_id] = pb.RunView(run_id=run_id, votes=votes)
        self.fold()

    def fold(self) -> None:
        for partition in range(24):
            read = self.store.position("runs", partition)
            self.store.save("runs", partition, read, Position(read.next_offset + 1, "log", 1), [], None)


@pytest.fixture
def watched():
    world = Watched()
    yield world
    world.over.set()
    for run_id in (RUN, OTHER):
        world.watching.wake(run_id)


def test_every_watcher_sees_every_change_and_five_hundred_cost_no_more_queries_than_one(watched):
    watched.watch(RUN, 500)
    until(lambda: all(mine == [0] for mine in watched.seen), "all watch")
    before = watched.reads
    watched.change(RUN, 7)
    until(lambda: all(mine[-1] == 7 for mine in watched.seen), "all have seen it")
    assert watched.reads - before <= 3


def test_where_nothing_is_folded_no_run_is_read(watched):
    watched.watch(RUN)
    until(lambda: watched.seen == [[0]] and watched.reads >= 1, "it watches")
    before, asked = watched.reads, watched.store.asked
    until(lambda: watched.store.asked > asked + 5, "it looks on")
    assert watched.reads == before


def test_watchers_hear_of_a_store_that_is_away_and_may_watch_again_when_it_is_back(watched):
    watched.watch(RUN)
    until(lambda: watched.seen == [[0]], "it watches")
    watched.store.away = True
    until(lambda: len(watched.errors) == 1, "it hears of it")
    watched.store.away = False
    watched.watch(RUN)
    watched.change(RUN, 3)
    until(lambda: watched.seen[-1][-1:] == [3], "it sees what came meanwhile")


def test_nobody_looks_once_nobody_watches(watched):
    watched.watch(RUN)
    until(lambda: watched.seen == [[0]], "it watches")
    watched.over.set()
    watched.watching.wake(RUN)
    until(lambda: watched.watching._looker is None, "the looker has ended")


class Full(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "too many watchers"


class FullDoor:
    """A front door that takes no watcher and answers single questions."""

    def __init__(self, *views: pb.RunView) -> None:
        self.views = list(views)

    def WatchRun(self, request, timeout):
        raise Full
        yield

    def GetRun(self, request, timeout):
        return pb.GetRunResponse(run=self.views.pop(0))


def test_a_client_that_finds_no_place_to_watch_asks_now_and_then(monkeypatch):
    monkeypatch.setattr(drive, "POLL_S", 0.01)
    views = [pb.RunView(status=pb.RUN_STATUS_RUNNING, votes=votes) for votes in (1, 2)]
    door, seen = FullDoor(*views, pb.RunView(status=pb.RUN_STATUS_FINISHED)), []
    began = time.monotonic()
    assert drive.watch(door, RUN, None, seen.append).status == pb.RUN_STATUS_FINISHED
    assert [view.votes for view in seen] == [1, 2, 0] and time.monotonic() - began < 10
