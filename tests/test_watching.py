"""Runs that are watched cost two queries for all watchers together and no thread each, and whoever finds no place asks now and
then instead."""

import threading
import time

import grpc
import pytest

from concord.client.run import drive
from concord.kit.errors import ConcordError, Unavailable
from concord.kit.store import Position
from concord.kit.store.memory import MemoryStore
from concord.runs.senders import SENDERS, Senders
from concord.runs.watching import News, Watcher, Watching
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


class Ear:
    """One who watches and keeps what it is told; `holds`: until it is set, sending to it takes as long."""

    def __init__(self, run_id: str, holds: threading.Event | None = None) -> None:
        self.heard: list[bytes] = []
        self.ended: list[ConcordError | None] = []
        self._holds = holds
        self.watcher = Watcher(run_id, self._hear, self.ended.append)

    def _hear(self, answer: bytes) -> None:
        self.heard.append(answer)
        if self._holds is not None:
            self._holds.wait(60)


class Watched:
    """Runs whose news the test changes, and who watches them."""

    def __init__(self) -> None:
        self.store, self.reads = Counting(), 0
        self.now = {RUN: News(b"0"), OTHER: News(b"0")}
        self.watching = Watching(self.store, "runs", self._read, look_s=0.005)
        self.ears: list[Ear] = []

    def _read(self, run_ids):
        self.reads += 1
        return {run_id: self.now[run_id] for run_id in run_ids}

    def watch(self, run_id: str, holds: threading.Event | None = None) -> Ear:
        ear = Ear(run_id, holds)
        self.ears.append(ear)
        self.watching.watch(ear.watcher, self.now[run_id])
        return ear

    def change(self, run_id: str, answer: bytes, last: bool = False) -> None:
        self.now[run_id] = News(answer, last)
        self.fold()

    def fold(self) -> None:
        for partition in range(24):
            read = self.store.position("runs", partition)
            self.store.save("runs", partition, read, Position(read.next_offset + 1, "log", 1), [], None)


@pytest.fixture
def watched():
    world = Watched()
    yield world
    for ear in world.ears:
        world.watching.leave(ear.watcher)


def test_every_watcher_hears_every_change_and_five_hundred_cost_no_more_queries_and_threads_than_one(watched):
    ears = [watched.watch(RUN) for _ in range(500)]
    until(lambda: all(ear.heard == [b"0"] for ear in ears), "all watch")
    before = watched.reads
    watched.change(RUN, b"7")
    until(lambda: all(ear.heard == [b"0", b"7"] for ear in ears), "all have heard of it")
    assert watched.reads - before <= 3
    names = [thread.name for thread in threading.enumerate()]
    assert sum(name.startswith("sender-") for name in names) <= SENDERS and names.count("watched-runs") == 1


def test_where_nothing_is_folded_no_run_is_read(watched):
    ear = watched.watch(RUN)
    until(lambda: ear.heard == [b"0"] and watched.reads >= 1, "it watches")
    before, asked = watched.reads, watched.store.asked
    until(lambda: watched.store.asked > asked + 5, "it looks on")
    assert watched.reads == before


def test_watchers_hear_of_a_store_that_is_away_and_may_watch_again_when_it_is_back(watched):
    ear = watched.watch(RUN)
    until(lambda: ear.heard == [b"0"], "it watches")
    watched.store.away = True
    until(lambda: len(ear.ended) == 1, "it hears of it")
    assert isinstance(ear.ended[0], Unavailable)
    watched.store.away = False
    again = watched.watch(RUN)
    watched.change(RUN, b"3")
    until(lambda: again.heard[-1:] == [b"3"], "it hears what came meanwhile")
    assert ear.heard == [b"0"]


def test_the_last_news_of_a_run_end_the_watching(watched):
    ear, other = watched.watch(RUN), watched.watch(OTHER)
    watched.change(RUN, b"over", last=True)
    until(lambda: ear.ended == [None], "it ends")
    assert ear.heard[-1] == b"over"
    watched.change(OTHER, b"1")
    until(lambda: other.heard == [b"0", b"1"], "the other one goes on")


def test_nobody_looks_once_nobody_watches(watched):
    ear = watched.watch(RUN)
    until(lambda: ear.heard == [b"0"], "it watches")
    watched.watching.leave(ear.watcher)
    until(lambda: watched.watching._looker is None, "the looker has ended")
    until(lambda: not watched.watching._senders._busy, "and those who send")
    watched.change(RUN, b"1")
    assert ear.heard == [b"0"]


def test_who_does_not_read_keeps_nobody_else_waiting_and_hears_only_the_newest(watched):
    holds = threading.Event()
    stuck = [watched.watch(RUN, holds) for _ in range(2 * SENDERS)]
    until(lambda: all(ear.heard == [b"0"] for ear in stuck), "all senders are held up")
    ear = watched.watch(RUN)
    for answer in (b"1", b"2", b"3"):
        watched.change(RUN, answer)
        until(lambda told=answer: ear.heard[-1:] == [told], "the one who reads hears each")
    holds.set()
    until(lambda: all(ear.heard == [b"0", b"3"] for ear in stuck), "the others hear the newest")


def test_a_thread_that_was_held_up_ends_once_there_are_enough_without_it():
    holds, senders, done = threading.Event(), Senders(), []
    for _ in range(3 * SENDERS):
        senders.do(lambda: holds.wait(60))

    def all_begun() -> bool:
        senders.look_after()
        return len(senders._busy) == 3 * SENDERS

    until(all_begun, "each that is held up gets a thread beside it")
    holds.set()
    senders.do(lambda: done.append(1))
    until(lambda: done == [1] and not senders._busy, "all is done and no thread is left")


def test_one_that_fails_keeps_no_other_from_being_done():
    senders, done = Senders(), []
    senders.do(lambda: 1 // 0)
    senders.do(lambda: done.append(1))
    until(lambda: done == [1], "the next one is done")


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
