"""`concord prune`: judges' kept answers that are older than wanted, or of one run; never those that a run under way may ask again.

An answer belongs to its request and not to a run: two runs that ask the same share it. What is known is when it was written, so
a run's answers are those that were written while it went on.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf

from concord.kit.errors import InvalidInput, NotFound, Refused
from concord.kit.settings import Settings
from concord.labeling import answer_cache
from concord.operate.local_records import Here, here
from concord.runs import service as runs

DAY_S = 86_400.0
# Clocks of log and store may differ by so much.
APART_S = 60.0


@dataclass(frozen=True)
class Span:
    """Answers that were written from `since` to `before`, Unix seconds; `spared_for`: the run under way that ends it earlier."""

    since: float
    before: float
    spared_for: str = ""


def spared(span: Span, under_way: Sequence[tuple[str, float]]) -> Span:
    """The span as far as it lies before each run under way, given as (id, when it began)."""
    first = min(under_way, key=lambda one: one[1], default=("", inf))
    begun = first[1] - APART_S
    return span if begun >= span.before else Span(span.since, max(span.since, begun), first[0])


def older(settings: Settings, days: float, now: float) -> Span:
    """What is older than so many days, as far as no run under way may want it. Raises InvalidInput where it keeps them for ever."""
    if days <= 0:
        raise InvalidInput(
            "judges' answers are kept for ever: say for how long with --days, or in CONCORD_ANSWER_DAYS; or whose, with --run"
        )
    with here(settings) as place:
        return spared(Span(0.0, now - DAY_S * days), list(_under_way(place)))


def of_run(settings: Settings, name: str) -> Span:
    """What was written while the run went on. Raises Refused while it is under way, NotFound where there is none."""
    with here(settings) as place:
        run_id = place.find(name)
        under_way = list(_under_way(place))
        if run_id in dict(under_way):
            raise Refused(f"run {run_id} is under way and may want its answers again: cancel it, or wait for its end")
        times = [record.at for record in place.of(run_id)]
        return spared(Span(times[0] - APART_S, times[-1] + APART_S), under_way)


def counted(settings: Settings, span: Span) -> int:
    """How many answers that is."""
    return answer_cache.written(settings.state_url, span.since, span.before)


def deleted(settings: Settings, span: Span) -> int:
    """Deletes them; how many those were."""
    return answer_cache.forgotten(settings.state_url, span.since, span.before)


def _under_way(place: Here) -> Iterator[tuple[str, float]]:
    """Runs that are not over, and when each began."""
    with suppress(NotFound):
        for run_id in place.store.runs(runs.SERVICE, active_only=True):
            yield run_id, next(place.of(run_id)).at
