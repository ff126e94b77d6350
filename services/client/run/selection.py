"""A job in the order of its run's own pairs, where a stage chose some of those that came in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from concord.client.results.records import Records
from concord.client.run.job import Job, Seat
from concord.client.run.voters import Skipping, Vote, Voters
from concord.kit.errors import InvalidInput, NotFound
from concord.preference.pairs import Row
from concord.v1.events_pb2 import Stage
from concord.v1.pairs_pb2 import PairShard, PairsManifest
from concord.v1.runs_service_pb2 import RunView


@dataclass(frozen=True)
class Placed:
    """Voters who know the pairs by their places in the input, for a run that numbers them anew."""

    voters: Voters
    place: Sequence[int]  # index in the run → index in the input

    @property
    def at_once(self) -> int:
        return self.voters.at_once

    def votes(self, pair: int, quorum: int) -> Sequence[Vote]:
        return self.voters.votes(self.place[pair], quorum)

    def news(self) -> bool:
        return self.voters.news()


def is_chosen(view: RunView) -> bool:
    """Whether the run's pairs stand: it never chooses, or has chosen."""
    steps = {stage.stage: stage.closed for stage in view.stages}
    return not view.config.select or steps.get(Stage.STAGE_SELECT, False)


def in_its_order(job: Job, run_id: str, records: Records) -> Job:
    """The job as `placed` makes it for this run, where it chose pairs and is there; else as it is."""
    if not job.config.select:
        return job
    try:
        view = records.view(run_id)
    except NotFound:
        return job
    return placed(job, view, records.blob) if view.stages and is_chosen(view) else job


def _made(job: Job, seat: Seat, view: RunView, blob: Callable[[str], bytes]) -> Job:
    """The job with the pairs that its run made of the models' answers; nobody knows the truth of them."""
    manifest = PairsManifest.FromString(blob(view.pairs_uri))
    rows = tuple(Row(pair) for ref in manifest.shards for pair in PairShard.FromString(blob(ref.uri)).pairs)
    answer, voters = seat(rows)
    if voters and isinstance(job.voters, Skipping):
        voters = Skipping(voters)
    return replace(job, given=replace(job.given, rows=rows), answer=answer, voters=voters)


def placed(job: Job, view: RunView, blob: Callable[[str], bytes]) -> Job:
    """The job with the rows that its run kept, in the run's order; `blob` reads one by its URI.

    Raises InvalidInput where the run holds a pair that the input does not.
    """
    if job.seat is not None and job.config.generators:
        return _made(job, job.seat, view, blob)
    places = {row.pair.pair_id: at for at, row in enumerate(job.given.rows)}
    manifest = PairsManifest.FromString(blob(view.pairs_uri))
    names = [pair.pair_id for ref in manifest.shards for pair in PairShard.FromString(blob(ref.uri)).pairs]
    if missing := next((name for name in names if name not in places), None):
        raise InvalidInput(
            f"run {view.run_id} has the pair {missing[:100]!r}, which is not in {job.given.name}; it was begun from another file"
        )
    place = [places[name] for name in names]
    answer = job.answer
    return replace(
        job,
        given=replace(job.given, rows=tuple(job.given.rows[at] for at in place)),
        answer=lambda pair, vote: answer(place[pair], vote),
        voters=job.voters and Placed(job.voters, place),
    )
