"""`concord run --from RUN`: the earlier run is read, its settings stand where none are given, and the job is made of both."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from concord.client.results.records import Records
from concord.client.run.options import Options
from concord.client.run.parent_options import options_of
from concord.client.run.parent_run import Earlier, rows_of
from concord.client.run.people import Reused, reused_answers
from concord.client.run.session import Job, prepare
from concord.kit.errors import InvalidInput, NotFound
from concord.kit.log import Record
from concord.kit.loop.events import events_of
from concord.kit.settings import Settings
from concord.operate import redo, run_log
from concord.v1.pairs_pb2 import PairShard, PairsManifest


def go_on(
    records: Records,
    settings: Settings,
    name: str,
    path: str,
    asked: Callable[[Options], Options],
    skip_bad: Path | None,
    salt: str,
    reused: Reused | None,
) -> Job:
    """The job that goes on from the run that `name` means; `asked` puts what is said now over the options of that run.

    The same command again is the same run: once it was begun, `last` means that very run, and not its parent any more.
    """

    def job_from(earlier: Earlier) -> Job:
        view = earlier.view
        base = options_of(view.config, view.pairs, view.human_budget)
        return prepare(path, asked(base), skip_bad, salt, reused, earlier)

    earlier = read(records, settings, records.find(name))
    if name == "last" and (before := earlier.view.config.parent.run_id):
        with suppress(InvalidInput, NotFound):
            job = job_from(read(records, settings, before))
            records.find(job.run_id)
            return job
    return job_from(earlier)


def read(records: Records, settings: Settings, run_id: str) -> Earlier:
    """The run as its facts say it is. Raises InvalidInput where it has no pairs, or cannot be read."""
    facts = list(records.of(run_id))
    folded = run_log.fold_of(run_id, facts)
    view = folded.state.view
    if folded.corrupt:
        raise InvalidInput(f"--from: run {run_id} is corrupt, so nothing can go on from it: {folded.corrupt}")
    if not view.pairs_uri:
        raise InvalidInput(
            f"--from: run {run_id} has not begun, so there is nothing to go on from; give its own command first"
        )
    manifest = PairsManifest.FromString(records.blob(view.pairs_uri))
    pairs = [pair for ref in manifest.shards for pair in PairShard.FromString(records.blob(ref.uri)).pairs]
    truth = redo.remembered_truth(redo.folder(settings, run_id), run_id)
    return Earlier(view, rows_of(pairs, truth), _answered(records, facts))


def _answered(records: Records, facts: Iterable[Record]) -> Reused:
    """What people answered in the run of these facts and in those before it."""
    events = [event for event, _ in events_of(facts)]
    before = next((event.run_created.config.parent.run_id for event in events if event.HasField("run_created")), "")
    return {**(_answered(records, records.of(before)) if before else {}), **reused_answers(events, records.blob)}
