"""The story of a run as lines for a terminal and as JSON, with the commands that look closer. PURE."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.json_format import MessageToDict

from concord.kit.enums import word
from concord.kit.plural import many
from concord.operate.timeline import Chapter, Odd
from concord.preference.judges import named
from concord.v1.events_pb2 import PauseReason, Usage
from concord.v1.runs_service_pb2 import RunStatus, RunView

MOST_ODD = 8


@dataclass(frozen=True)
class About:
    """The run as a whole, as of where the reading stopped."""

    view: RunView
    partition: int
    corrupt: str
    duplicates: int
    dead_letters: int | None  # None: nobody could look
    flag: str = ""  # what a command needs so that it reads this run too


def as_json(about: About, chapters: Sequence[Chapter]) -> dict[str, object]:
    """Plain values."""
    return {
        "partition": about.partition,
        "dead_letters": about.dead_letters,
        "stages": [
            {
                "stage": c.stage,
                "first_offset": c.first,
                "last_offset": c.last,
                "began": c.began,
                "ended": c.ended,
                "closed": c.closed,
                "says": c.says,
                "usage": MessageToDict(c.usage, preserving_proto_field_name=True),
                "odd": [vars(odd) for odd in c.odd],
            }
            for c in chapters
        ],
    }


def lines(about: About, chapters: Sequence[Chapter]) -> Iterator[str]:
    """What happened, what is odd, where to look next."""
    view = about.view
    config = view.config
    status = "corrupt" if about.corrupt else word(RunStatus, view.status)
    judge = named(config.judge.kind, config.judge.name, config.judge.url)
    yield f"run {view.run_id}: {view.input_name} · {many(view.pairs, 'pair')} · {config.method} · judge {judge}"
    if not chapters:
        yield "nothing of it stands in the log up to there"
        return
    last = chapters[-1]
    why = f" ({about.corrupt or view.detail})" if about.corrupt or view.detail else ""
    yield f"{status}{why}, as of offset {last.last} of partition {about.partition}, {_day(last.ended)}; {_used(view.usage)}"
    yield ""
    yield f"{'offset':>8}  {'time':8}  {'stage':12}  what came of it"
    for chapter in chapters:
        yield from _chapter(chapter)
    if about.duplicates:
        yield f"{many(about.duplicates, 'fact was', 'facts were')} said again, which changes nothing"
    yield from _next(about, chapters)


def _chapter(chapter: Chapter) -> Iterator[str]:
    says = chapter.says if chapter.closed else f"open: {chapter.says}"
    cost = f" · {_used(chapter.usage)}" if chapter.usage.calls or chapter.usage.cached_calls else ""
    if says or not chapter.odd:
        yield f"{chapter.first:8}  {_time(chapter.began)}  {chapter.stage or '-':12}  {says}{cost}"
    for odd in chapter.odd[:MOST_ODD]:
        where = f"{odd.unit}: " if odd.unit else ""
        yield f"{odd.offset:8}  {_time(odd.at)}  ! {where}{odd.says}"
        if odd.picture:
            yield f"{'':20}  {odd.picture}"
        if odd.quote:
            yield f"{'':20}  “{odd.quote}”"
    if len(chapter.odd) > MOST_ODD:
        yield f"{'':20}  … and {len(chapter.odd) - MOST_ODD:,} more (--json has all)"


def _next(about: About, chapters: Sequence[Chapter]) -> Iterator[str]:
    """Commands for this run, where there is something to look at."""
    name, broken = about.view.run_id[:8], _first_break(chapters)
    found = []
    if broken is not None:
        found.append(
            (f"concord replay {name} --until {broken.offset - 1}{about.flag}", "the run as it was before that")
        )
        if not about.flag:  # a unit is done again where the log itself can be read
            found.append(
                (f"concord replay {name} --unit {broken.unit}", "that unit done again: what the judge says now")
            )
        mended = "once the judge is mended: usable verdicts are not paid again"
        found.append((f"the same concord run with {_goes_on(about.view)}", mended))
    quoted = next((odd for chapter in reversed(chapters) for odd in chapter.odd if odd.quote), None)
    if quoted is not None and broken is None and not about.flag:
        found.append((f"concord replay {name} --unit {quoted.unit}", "what the judge answered there, and does now"))
    if about.dead_letters:
        found.append(
            (
                f"concord replay {name} --dead-letters",
                f"{many(about.dead_letters, 'item of it that was', 'items of it that were')} given up",
            )
        )
    if found:
        yield ""
        yield from (f"→ {command:40}  {why}" for command, why in found)


def _goes_on(view: RunView) -> str:
    """A run that the judge's silence stopped is mended in place; one that went on has its facts, so another is begun."""
    return "--resume" if view.pause_reason == PauseReason.PAUSE_REASON_SILENT_JUDGE else "--new WORD"


def _first_break(chapters: Sequence[Chapter]) -> Odd | None:
    """The first place where the judge changed, if there is one."""
    return next((odd for chapter in chapters for odd in chapter.odd if odd.picture), None)


def _used(usage: Usage) -> str:
    kept = f" and {many(usage.cached_calls, 'kept answer')}" if usage.cached_calls else ""
    tokens = usage.prompt_tokens + usage.completion_tokens
    dollars = f", ${usage.dollars:,.2f}" if usage.dollars else ""
    return f"{many(usage.calls, 'judge call')}{kept}, {many(tokens, 'token')}{dollars}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%H:%M:%S")


def _day(at: float) -> str:
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
