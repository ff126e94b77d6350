"""How much work waits that may run now, of whom: what replicas are scaled by. Pure.

Counted from the runs themselves and not as a queue's lag: a run that stands still wants nobody, a judge's rate limit makes no
more of its units worth a replica than it lets through, and a group whose offsets are forgotten wants what its runs want.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from types import MappingProxyType

from concord.kit.enums import word
from concord.kit.log import topics
from concord.preference.judges import networked
from concord.preference.stages import STAGES
from concord.runs import work
from concord.runs.state import RunState
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import PauseReason, Stage
from concord.v1.runs_service_pb2 import RunStatus

# Who does the units of a topic.
WORKERS = {topic: topic.group for topic in topics.ALL if topic.group}
# What a request is taken to have, where only tokens are limited.
TOKENS = 1_000
# Of the dearest runs; more would be labels without end.
MOST_RUNS = 50
NO_END = 1 << 31
# Of labeling, that keep one replica busy: what its autoscaler takes for one (k8s/components/keda/labeling.yaml).
UNITS_A_REPLICA = 16


@dataclass(frozen=True)
class Survey:
    """All runs that are not over, in numbers."""

    wanted: dict[str, int]
    # Service → the longest that a run has waited for the next of its units, in seconds.
    waits: dict[str, float]
    statuses: dict[str, int]
    paused: dict[str, int]
    # Questions that people have not answered.
    questions: int
    dollars: dict[str, float] = field(default_factory=dict)


@dataclass
class Waits:
    """Since when each run waits: its progress as last seen, and when that was first seen."""

    seen: dict[str, tuple[tuple[int, ...], float]] = field(default_factory=dict)

    def since(self, state: RunState, now: float) -> float:
        """When the run's open stage came where it is; its opening, where nothing of it is settled."""
        assert state.open is not None
        here = (state.open.stage, state.open.round, settled(state), sum(state.open.retries.values()), state.resumes)
        known = self.seen.get(state.view.run_id)
        if known is None or known[0] != here:
            begun = max(state.open.opened_at, state.resumed_at) if not settled(state) else now
            known = self.seen[state.view.run_id] = (here, min(now, begun))
        return known[1]


def settled(state: RunState) -> int:
    """How many units of the open stage are: the run's header says it, without the rows of its units."""
    return state.view.stages[-1].settled if state.view.stages else 0


def wanted(state: RunState) -> tuple[str, int]:
    """Whose work the run waits for, and how many units of it are out or may go out now; ("", 0): nobody's."""
    if state.open is None or (topic := STAGES[state.open.stage].topic) is None:
        return "", 0
    left = state.open.units - settled(state)
    if state.view.status == RunStatus.RUN_STATUS_PAUSED:
        # What is away is looked for with one unit at a time.
        probes = state.view.pause_reason == PauseReason.PAUSE_REASON_DEFERRED
        return (WORKERS[topic], min(1, left)) if probes else ("", 0)
    if state.view.status != RunStatus.RUN_STATUS_RUNNING or left <= 0:
        return "", 0
    return WORKERS[topic], min(left, work.window(state), let_through(state))


def let_through(state: RunState) -> int:
    """Units that the limits of the models that are asked let through in a minute, at least one; no end without limits."""
    assert state.open is not None
    config = state.view.config
    if not STAGES[state.open.stage].paid:
        return NO_END
    asked = config.generators if state.open.stage == Stage.STAGE_GENERATE else (config.judge,)
    rates = [_requests_a_minute(one) for one in asked if networked(one)]
    if not rates or not all(rates):
        return NO_END
    requests = config.shard_pairs * (2 if config.judge.both_orders else 1)
    return max(1, ceil(max(rates) / max(1, requests)))


def _place(state: RunState) -> str:
    """The endpoint whose limits the open stage's units wait for: the models that answer prompts count as one."""
    assert state.open is not None
    config = state.view.config
    asked = config.generators if state.open.stage == Stage.STAGE_GENERATE else (config.judge,)
    return " ".join(sorted({one.url for one in asked}))


def _requests_a_minute(judge: JudgeConfig) -> float:
    limits = [judge.requests_per_minute, judge.tokens_per_minute / TOKENS]
    return min((limit for limit in limits if limit > 0), default=0.0)


def bears(state: RunState, replicas: Mapping[str, float]) -> int:
    """Units that keep as many replicas busy as the endpoints bear, at least one; no end where none was found to turn away."""
    assert state.open is not None
    if not STAGES[state.open.stage].paid:
        return NO_END
    worths = [replicas.get(url, inf) for url in _place(state).split(" ")]
    return NO_END if max(worths) == inf else max(1, ceil(max(worths) * UNITS_A_REPLICA))


def survey(
    states: Sequence[RunState], now: float, waits: Waits, replicas: Mapping[str, float] = MappingProxyType({})
) -> Survey:
    """The runs in numbers; `waits` is brought up to date. `replicas`: what endpoints bear (`bearing.Bearing`)."""
    units = dict.fromkeys(WORKERS.values(), 0)
    # Endpoints with limits: what runs want of each, and what it lets through, for all of them together.
    limited: dict[str, tuple[str, int, int]] = {}
    longest = dict.fromkeys(WORKERS.values(), 0.0)
    statuses: Counter[str] = Counter()
    paused: Counter[str] = Counter()
    questions = 0
    for state in states:
        statuses[word(RunStatus, state.view.status)] += 1
        if state.view.status == RunStatus.RUN_STATUS_PAUSED:
            paused[word(PauseReason, state.view.pause_reason)] += 1
        service, count = wanted(state)
        if count:
            if (most := min(let_through(state), borne := bears(state, replicas))) < NO_END:
                place = _place(state)
                _, before, known = limited.get(place, ("", 0, 0))
                # What is said of a limit may differ by run; what the endpoint bears is what it bears.
                limited[place] = (service, before + count, min(borne, max(known, most)))
            else:
                units[service] += count
            longest[service] = max(longest[service], now - waits.since(state, now))
        elif state.open is not None and STAGES[state.open.stage].people:
            questions += max(0, state.open.units - settled(state))
    for service, count, most in limited.values():
        units[service] += min(count, most)
    there = {state.view.run_id for state in states}
    waits.seen = {run_id: seen for run_id, seen in waits.seen.items() if run_id in there}
    dearest = sorted(states, key=lambda state: -state.view.usage.dollars)[:MOST_RUNS]
    spent = {one.view.run_id: one.view.usage.dollars for one in dearest if one.view.usage.dollars}
    return Survey(units, longest, dict(statuses), dict(paused), questions, spent)
