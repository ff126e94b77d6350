"""What may be read of runs here: from the log, the store and the blobs that the settings name."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property

from concord.client.results.records import chosen, is_whole
from concord.kit.blobs import Blobs
from concord.kit.errors import NotFound
from concord.kit.log import GONE, Log, Record
from concord.kit.log.topics import FACTS, fact_partition
from concord.kit.loop.events import events_of
from concord.kit.loop.run_records import BATCH, records
from concord.kit.settings import Settings, look_at_log, look_at_store, open_blobs
from concord.kit.store import Store
from concord.kit.urls import without_secrets
from concord.operate import run_log
from concord.runs import service as runs
from concord.runs.dead_letters import Letter, read
from concord.v1.events_pb2 import Event
from concord.v1.runs_service_pb2 import RunView

# Their views are held together: a page's worth.
RUNS_AT_ONCE = 500


def erased_run(log: Log, run_id: str) -> str:
    """What the log says of a run that was erased, in words; empty where it says nothing."""
    partition, offset = fact_partition(run_id), 0
    while batch := log.read(FACTS, partition, offset, BATCH):
        for record in batch:
            if record.key == GONE and record.value and (said := Event.FromString(record.value)).run_id == run_id:
                who = said.actor or "somebody with this machine's rights"
                return f"run {run_id} was erased by {who}: {said.erased.reason or 'no reason given'}. Nothing of it is left"
        offset = batch[-1].offset + 1
    return ""


@contextmanager
def here(settings: Settings) -> Iterator["Here"]:
    """Reads log, store and blobs themselves."""
    with ExitStack() as opened:
        yield Here(settings, opened)


class Here:
    """Records of log, store and blobs, each opened when it is first asked: a whole id needs no store, a list of runs no log."""

    flag = ""
    server = ""

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
        if is_whole(name):
            next(self.of(name))
            return name
        none = (
            f"no runs in {self._settings.home} yet; `concord run` begins one. Those made elsewhere are found where "
            "CONCORD_STATE_URL names their store, or by their whole id"
        )
        return chosen(self._known(), name, none, is_side=lambda run_id: bool(self._brief(run_id).side_of))

    def _known(self) -> list[str]:
        """None where no run has made a store yet."""
        try:
            return self.store.runs(runs.SERVICE)
        except NotFound:
            return []

    def views(self) -> Iterator[RunView]:
        known = self._known()
        for at in range(0, len(known), RUNS_AT_ONCE):
            yield from runs.briefs(self.store, known[at : at + RUNS_AT_ONCE])

    def _brief(self, run_id: str) -> RunView:
        return runs.restored(self.store, run_id, runs.BRIEF).view

    def view(self, run_id: str) -> RunView:
        """As its facts say it is: a run may be read whose store is elsewhere."""
        return run_log.view_of(run_log.fold_of(run_id, self.of(run_id)))

    def of(self, run_id: str) -> Iterator[Record]:
        found = records(self.log, run_id)
        if (first := next(found, None)) is None:
            raise NotFound(
                erased_run(self.log, run_id)
                or f"no fact of run {run_id} stands in {without_secrets(self._settings.log_url)}"
            )
        yield first
        yield from found

    def events(self, run_id: str) -> list[tuple[Event, float]]:
        return events_of(self.of(run_id))

    def given_up(self, run_id: str) -> int | None:
        return len(self.dead_letters(run_id))

    def dead_letters(self, run_id: str) -> list[Letter]:
        """The run's items that were given up and not put back since."""
        return [letter for letter in read(self.log) if letter.run_id == run_id and letter.back_at is None]

    def blob(self, uri: str) -> bytes:
        return self.blobs.get(uri)

    def pieces(self, uri: str) -> Iterator[bytes]:
        return self.blobs.pieces(uri)
