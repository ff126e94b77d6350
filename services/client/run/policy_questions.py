"""A job that knows the answers of its run's policy, about which people are asked once the run is otherwise through."""

from collections.abc import Callable
from dataclasses import replace

from concord.client.run.job import Job
from concord.client.run.voters import Skipping
from concord.preference import evaluating
from concord.preference.pairs import Row
from concord.preference.stages import STAGES
from concord.v1.pairs_pb2 import PairShard
from concord.v1.runs_service_pb2 import RunView


def are_open(view: RunView) -> bool:
    """Whether people are asked about the policy's answers now."""
    last = view.stages[-1] if view.stages else None
    return last is not None and not last.closed and last.stage in STAGES and STAGES[last.stage].of_policy


def known(job: Job, view: RunView, blob: Callable[[str], bytes]) -> Job:
    """The job with the policy's answers as rows behind its own, as the run numbers them; `blob` reads one by its URI."""
    manifest = evaluating.numbered(view.answered, view.pairs)
    more = tuple(Row(pair) for ref in manifest.shards for pair in PairShard.FromString(blob(ref.uri)).pairs)
    rows = (*job.given.rows[: view.pairs], *more)
    assert job.seat is not None, "a run that asks about its policy has somebody who can be asked"
    answer, voters = job.seat(rows)
    if voters and isinstance(job.voters, Skipping):
        voters = Skipping(voters)
    return replace(job, given=replace(job.given, rows=rows), answer=answer, voters=voters)
