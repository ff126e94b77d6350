"""Runs that somebody watches, looked at together: two queries for all of them, and none where nothing was folded meanwhile."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import structlog

from concord.kit.errors import ConcordError
from concord.kit.log.topics import fact_partition
from concord.kit.store import Store
from concord.v1.runs_service_pb2 import RunView

LOOK_S = 0.1
# A watcher whose looker died is not left alone for ever.
STALE_S = 5.0


@dataclass
class _Watched:
    """One run and who waits for news of it."""

    watchers: int = 0
    version: int = 0
    view: RunView | None = None
    error: ConcordError | None = None
    news: threading.Condition = field(default_factory=threading.Condition)


class Watching:
    """One thread looks for all watchers; it lives for as long as there is one."""

    def __init__(
        self, store: Store, service: str, views: Callable[[Sequence[str]], dict[str, RunView]], look_s: float = LOOK_S
    ) -> None:
        """`views(runs)` reads the views of these runs, at once."""
        self._store, self._service, self._views, self._look_s = store, service, views, look_s
        self._lock = threading.Lock()
        self._watched: dict[str, _Watched] = {}
        self._looker: threading.Thread | None = None
        self._over = threading.Event()

    def watch(self, run_id: str, view: RunView, over: threading.Event) -> Iterator[RunView]:
        """`view`, and each other one as it comes, until `over` is set. Raises Unavailable where the store is away."""
        one = self._enter(run_id)
        try:
            seen = 0
            while not over.is_set():
                yield view
                last = view
                while view == last and not over.is_set():
                    with one.news:
                        if one.version == seen and not over.is_set():
                            one.news.wait(STALE_S)
                        seen, view = one.version, one.view or view
                        if one.error is not None:
                            raise one.error
        finally:
            self._leave(run_id, one)

    def wake(self, run_id: str) -> None:
        """Whoever watches the run looks up: somebody has hung up."""
        with self._lock:
            one = self._watched.get(run_id)
        if one is not None:
            with one.news:
                one.news.notify_all()

    def _enter(self, run_id: str) -> _Watched:
        with self._lock:
            one = self._watched.setdefault(run_id, _Watched())
            one.watchers += 1
            if self._looker is None:
                self._looker = threading.Thread(target=self._look_on, name="watched-runs", daemon=True)
                self._looker.start()
            return one

    def _leave(self, run_id: str, one: _Watched) -> None:
        with self._lock:
            one.watchers -= 1
            if not one.watchers and self._watched.get(run_id) is one:
                del self._watched[run_id]

    def _look_on(self) -> None:
        folded: dict[int, int] = {}
        fresh: set[str] = set()
        while True:
            with self._lock:
                watched = dict(self._watched)
                if not watched:
                    self._looker = None
                    return
            try:
                folded, before = self._store.positions(self._service), folded
                moved = {partition for partition, to in folded.items() if before.get(partition) != to}
                asked = [run for run in watched if fact_partition(run) in moved or run not in fresh]
                views = self._views(asked) if asked else {}
                fresh = set(watched)
            except ConcordError as error:
                folded, fresh = {}, set()
                self._tell_all(watched, error)
            except Exception as error:  # a bug: those who watch must not wait for a thread that is gone
                folded, fresh = {}, set()
                structlog.get_logger(service=self._service).exception("watched runs cannot be read")
                self._tell_all(watched, ConcordError(f"what is watched cannot be read: {type(error).__name__}"))
            else:
                for run_id, view in views.items():
                    _tell(watched[run_id], view)
            self._over.wait(self._look_s)

    def _tell_all(self, watched: dict[str, _Watched], error: ConcordError) -> None:
        for one in watched.values():
            with one.news:
                one.error, one.version = error, one.version + 1
                one.news.notify_all()
        # Who comes after this begins with a clean slate.
        with self._lock:
            self._watched = {run: one for run, one in self._watched.items() if one.error is None}


def _tell(one: _Watched, view: RunView) -> None:
    with one.news:
        if view != one.view:
            one.view, one.version = view, one.version + 1
            one.news.notify_all()
