"""`concord run --from RUN`: the earlier run is read, its settings stand where none are given, and the job is made of both."""

from collections.abc import Mapping
from pathlib import Path

from concord.v1.pairs_pb2 import PairShard, PairsManifest
from services.client import again, history
from services.client.earlier import Earlier, rows_of
from services.client.inherited import options_of
from services.client.options import resolve
from services.client.people import Reused, reused_answers
from services.client.session import Job, prepare
from services.kit.blobs import Blobs
from services.kit.errors import InvalidInput
from services.kit.log import Log
from services.kit.settings import Settings, open_blobs, open_log, open_store
from services.runs import service as runs

Flags = Mapping[str, object]


def go_on(
    settings: Settings, name: str, path: str, flags: Flags, file: object, file_name: str, skip_bad: Path | None, salt: str,
    reused: Reused | None,
) -> Job:  # fmt: skip
    """The job that goes on from the run that `name` means; what flags and settings file leave open is as it was there.

    The same command again is the same run: once it was begun, `last` means that very run, and not its parent any more.
    """
    store = open_store(settings)
    run_id = history.find_run(store, name, settings.home)

    def job_from(earlier: Earlier) -> Job:
        view = earlier.view
        base = options_of(view.config, view.pairs, view.human_budget)
        return prepare(path, resolve(flags, file, file_name, base), skip_bad, salt, reused, earlier)

    earlier = read(settings, run_id)
    if name == "last" and (before := earlier.view.config.parent.run_id):
        try:
            begun = job_from(read(settings, before))
        except InvalidInput:
            begun = None
        if begun and begun.run_id in store.runs(runs.SERVICE):
            return begun
    return job_from(earlier)


def read(settings: Settings, run_id: str) -> Earlier:
    """The run as its facts say it is. Raises InvalidInput where it has no pairs, or cannot be read."""
    log, blobs = open_log(settings), open_blobs(settings)
    folded = history.fold(log, run_id)
    view = folded.state.view
    if folded.corrupt:
        raise InvalidInput(f"--from: run {run_id} is corrupt, so nothing can go on from it: {folded.corrupt}")
    if not view.pairs_uri:
        raise InvalidInput(f"--from: run {run_id} has not begun, so there is nothing to go on from; give its own command first")
    manifest = PairsManifest.FromString(blobs.get(view.pairs_uri))
    pairs = [pair for ref in manifest.shards for pair in PairShard.FromString(blobs.get(ref.uri)).pairs]
    truth = again.remembered_truth(Path(settings.home) / "runs" / run_id[:8], run_id)
    return Earlier(view, rows_of(pairs, truth), _answered(log, blobs, run_id))


def _answered(log: Log, blobs: Blobs, run_id: str) -> Reused:
    """What people answered in the run and in those before it."""
    events = [event for event, _ in history.events(log, run_id)]
    before = next((event.run_created.config.parent.run_id for event in events if event.HasField("run_created")), "")
    return {**(_answered(log, blobs, before) if before else {}), **reused_answers(events, blobs.get)}
