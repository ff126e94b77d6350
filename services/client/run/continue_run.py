"""`concord run --from RUN`: the earlier run is read, its settings stand where none are given, and the job is made of both."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from concord.client.intake import intake
from concord.client.results.records import Records
from concord.client.results.results_dir import folder, remembered_truth
from concord.client.run import people
from concord.client.run.answers import contradicted
from concord.client.run.job import Functions, Job, Read, prepare
from concord.client.run.options import Options, semantic
from concord.client.run.parent_options import options_of
from concord.client.run.parent_run import Earlier, rows_of
from concord.client.run.people import reused_answers
from concord.client.run.selection import in_its_order
from concord.client.run.voters import Reused, Reusing, Skipping, Written
from concord.kit import ids
from concord.kit.errors import InvalidInput, NotFound
from concord.preference.budget import audit_share
from concord.v1.config_pb2 import RunConfig
from concord.v1.events_pb2 import Event
from concord.v1.pairs_pb2 import PairShard, PairsManifest
from concord.v1.runs_service_pb2 import RUN_STATUS_CORRUPT, RUN_STATUS_PAUSED


def go_on(
    records: Records,
    home: str,
    name: str,
    path: str,
    asked: Callable[[Options], Options],
    skip_bad: Path | None,
    salt: str,
    reused: Reused | None,
    read_pairs: Read = intake.read,
    functions: Functions | None = None,
) -> Job:
    """The job that goes on from the run that `name` means; `asked` puts what is said now over the options of that run.

    The same command again is the same run: once it was begun, `last` means that very run, and not its parent any more.
    """

    def job_from(earlier: Earlier) -> Job:
        view = earlier.view
        base = options_of(view.config, view.pairs, view.human_budget)
        return prepare(path, asked(base), skip_bad, salt, reused, earlier, functions, read_pairs)

    earlier = read(records, home, records.find(name))
    if name == "last" and (before := earlier.view.config.parent.run_id):
        with suppress(InvalidInput, NotFound):
            job = job_from(read(records, home, before))
            records.find(job.run_id)
            return job
    return job_from(earlier)


def read(records: Records, home: str, run_id: str) -> Earlier:
    """The run as its facts say it is. Raises InvalidInput where it has no pairs, or cannot be read."""
    view = records.view(run_id)
    if view.status == RUN_STATUS_CORRUPT:
        raise InvalidInput(f"--from: run {run_id} is corrupt, so nothing can go on from it: {view.detail}")
    if not view.pairs_uri:
        raise InvalidInput(
            f"--from: run {run_id} has not begun, so there is nothing to go on from; give its own command first"
        )
    manifest = PairsManifest.FromString(records.blob(view.pairs_uri))
    pairs = [pair for ref in manifest.shards for pair in PairShard.FromString(records.blob(ref.uri)).pairs]
    truth = remembered_truth(folder(home, run_id, records.server), run_id)
    return Earlier(view, rows_of(pairs, truth), _answered(records, run_id))


def as_begun(records: Records, job: Job) -> Job:
    """The job as its run was begun before, be it by an earlier release: under the id and with the audit share of that time.

    The content of a file of answers was part of the run's id before 0.2; nobody is to be asked again because it is no
    longer. Ids hold the audit share of earlier releases where today's default stands, so both have one id.
    """
    return _with_its_audits(records, _of_its_answers(records, job))


def _with_its_audits(records: Records, job: Job) -> Job:
    with suppress(NotFound):
        recorded = records.view(job.run_id).config
        if not recorded.method or recorded.audit_share == job.config.audit_share:
            return job
        config, share = RunConfig(), audit_share(recorded)
        config.CopyFrom(job.config)
        config.audit_share = recorded.audit_share
        note = f"this run was begun with an audit share of {share:g} and goes on so; --new begins another one"
        return replace(job, config=config, notes=(*job.notes, note))
    return job


def _of_its_answers(records: Records, job: Job) -> Job:
    config = RunConfig()
    config.CopyFrom(job.config)
    config.annotators = people.named_before(job.config.annotators)
    if config.annotators == job.config.annotators:
        return job
    run_id = ids.run_id(job.given.sha256, semantic(config), job.salt)
    with suppress(NotFound):
        return replace(job, config=config, run_id=records.find(run_id))
    return job


def check_begun(records: Records, job: Job) -> None:
    """Refuses `--resume` where it would begin another run and leave the one behind that waits: other settings are another run."""
    with suppress(NotFound):
        records.find(job.run_id)
        return
    views = (view for view in records.views() if view.input_sha256 == job.given.sha256 and not view.side_of)
    if waits := [view.run_id[:8] for view in views if view.status == RUN_STATUS_PAUSED]:
        raise InvalidInput(
            f"--resume: these settings are another run than {waits[-1]}, which waits: give its own command to resume it, or "
            f"--from {waits[-1]} to go on from it with what is different now; without --resume a new run is begun"
        )


def told(records: Records, job: Job) -> str:
    """What to tell of answers in a file that say otherwise than what the run has recorded; empty where none does."""
    written = job.voters
    while isinstance(written, Reusing | Skipping):
        written = written.voters
    if not isinstance(written, Written) or not written.answers.said:
        return ""
    with suppress(NotFound):
        facts = _events(records, records.find(job.run_id))
        names = [row.pair.pair_id for row in in_its_order(job, job.run_id, records).given.rows]
        return contradicted(written.answers, names, job.options.quorum, facts)
    return ""


def answers_of(records: Records, name: str) -> Reused:
    """What people answered in the run that `name` means, by the pair's hash."""
    return reused_answers(_events(records, records.find(name)), records.blob)


def _answered(records: Records, run_id: str) -> Reused:
    """What people answered in the run and in those before it."""
    events = _events(records, run_id)
    before = next((event.run_created.config.parent.run_id for event in events if event.HasField("run_created")), "")
    return {**(_answered(records, before) if before else {}), **reused_answers(events, records.blob)}


def _events(records: Records, run_id: str) -> list[Event]:
    return [event for event, _ in records.events(run_id)]
