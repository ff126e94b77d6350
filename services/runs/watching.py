"""Runs that somebody watches, looked at together: two queries for all of them, and none where nothing was folded meanwhile.

A watcher holds no thread: one looks for all, and a few send to whoever is due. What all of a run's watchers are told is put
into bytes once; who takes long to send to gets the newest of what came meanwhile, and nothing between.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from concord.kit.errors import ConcordError
from concord.kit.log.topics import fact_partition
from concord.kit.store import Store
from concord.runs.senders import Senders

LOOK_S = 0.1


@dataclass(frozen=True)
class News:
    """What a watcher is told, as it is sent. `last`: nothing follows, the run is over."""

    answer: bytes
    last: bool = False


@dataclass(eq=False)
class Watcher:
    """One who watches. `send` takes as long as the network does; `end` comes once, with what went wrong or None."""

    run_id: str
    send: Callable[[bytes], None]
    end: Callable[[ConcordError | None], None]
    # What it was told last, and what it is to be told; the latter is replaced by what is newer.
    told: bytes = b""
    due: News | ConcordError | None = None
    sending: bool = False


@dataclass
class _Watched:
    """Who watches a run; `fresh`: since the last look nobody came."""

    watchers: set[Watcher] = field(default_factory=set)
    fresh: bool = False


class Watching:
    """One thread looks for all watchers and lives for as long as there is one, as do those that send."""

    def __init__(
        self,
        store: Store,
        service: str,
        read: Callable[[Sequence[str]], Mapping[str, News]],
        look_s: float = LOOK_S,
    ) -> None:
        """`read(runs)` reads what is to be said of these runs, at once."""
        self._store, self._service, self._read, self._look_s = store, service, read, look_s
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._senders = Senders()
        self._looker: threading.Thread | None = None
        self._pause = threading.Event()

    def watch(self, watcher: Watcher, news: News) -> None:
        """Tells it `news`, and whatever comes after, until the run is over or `leave` is called."""
        with self._lock:
            one = self._watched.setdefault(watcher.run_id, _Watched())
            one.watchers.add(watcher)
            one.fresh = False
            if self._looker is None:
                self._looker = threading.Thread(target=self._look_on, name="watched-runs", daemon=True)
                self._looker.start()
            self._tell(watcher, news)

    def leave(self, watcher: Watcher) -> None:
        """Nobody listens there any more; what is being sent may still go out."""
        with self._lock:
            self._forget(watcher)

    def _forget(self, watcher: Watcher) -> None:
        one = self._watched.get(watcher.run_id)
        if one is not None:
            one.watchers.discard(watcher)
            if not one.watchers:
                del self._watched[watcher.run_id]

    def _tell(self, watcher: Watcher, news: News | ConcordError) -> None:
        """Under the lock."""
        watcher.due = news
        if not watcher.sending:
            watcher.sending = True
            self._senders.do(lambda: self._send(watcher))

    def _send(self, watcher: Watcher) -> None:
        """What is due, one after the other: two must not send to one watcher at once."""
        while True:
            with self._lock:
                news, watcher.due = watcher.due, None
                if news is None:
                    watcher.sending = False
                    return
                over = isinstance(news, ConcordError) or news.last
                if over:
                    self._forget(watcher)
                if isinstance(news, News):
                    watcher.told = news.answer
            if isinstance(news, News):
                watcher.send(news.answer)
            if over:
                # It stays `sending`: nothing is sent after the end.
                return watcher.end(news if isinstance(news, ConcordError) else None)

    def _look_on(self) -> None:
        folded: dict[int, int] = {}
        while True:
            with self._lock:
                if not self._watched and self._senders.idle():
                    self._looker = None
                    return
                fresh = {run for run, one in self._watched.items() if one.fresh}
                # Who comes after this may know more than what is read now, and is told by the next look.
                present = {run: set(one.watchers) for run, one in self._watched.items()}
                for one in self._watched.values():
                    one.fresh = True
            try:
                folded, before = self._store.positions(self._service), folded
                moved = {partition for partition, to in folded.items() if before.get(partition) != to}
                asked = [run for run in present if fact_partition(run) in moved or run not in fresh]
                found = self._read(asked) if asked else {}
            except ConcordError as error:
                folded = {}
                self._tell_all(present, error)
            except Exception as error:  # a bug: those who watch must not wait for a thread that is gone
                folded = {}
                structlog.get_logger(service=self._service).exception("watched runs cannot be read")
                self._tell_all(present, ConcordError(f"what is watched cannot be read: {type(error).__name__}"))
            else:
                for run_id, news in found.items():
                    self._tell_news(run_id, present[run_id], news)
            self._senders.look_after()
            self._pause.wait(self._look_s)

    def _tell_news(self, run_id: str, present: set[Watcher], news: News) -> None:
        with self._lock:
            still = self._watched.get(run_id, _Watched()).watchers
            for watcher in present & still:
                waiting = watcher.due.answer if isinstance(watcher.due, News) else watcher.told
                if news.answer != waiting:
                    self._tell(watcher, news)

    def _tell_all(self, present: Mapping[str, set[Watcher]], error: ConcordError) -> None:
        with self._lock:
            for run_id, watchers in present.items():
                for watcher in watchers & self._watched.get(run_id, _Watched()).watchers:
                    self._tell(watcher, error)
