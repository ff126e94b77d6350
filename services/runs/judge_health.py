"""A judge that gives no usable verdicts, or whose verdicts follow the place of an answer: what stops the run, and which
shards are judged anew. PURE.

Looked at after every unit of judging, the pilot's too: it costs no vote of people. Nothing is lost by a false alarm but
time: a caller who finds the judge in order lets the run go on.
"""

from collections.abc import Mapping, Sequence
from heapq import nlargest

from concord.kit.plural import many
from concord.preference import answer_faults, checked, order_flips
from concord.preference.wilson import by_chance
from concord.v1.events_pb2 import Event, PauseReason
from concord.v1.pairs_pb2 import Choice

# So many pairs are looked at, those of the last shards: they go out in order, so a judge that broke is silent there. On a busy
# machine they may come in another order: once all have come, all are looked at as well.
LOOKED_AT = 200
# A larger share of them without a verdict may stop the run. Not a half: where many shards are under way, the silence is
# spread over all of them.
MOST = 1 / 3
# It does where a judge that is silent on one pair of five would come to it by chance in fewer than a millionth of the looks:
# all of 9 pairs, 23 of 40, 70 of 200. Where the stage is through there is one look, and one in a hundred is enough.
DECENT = 0.2
BY_CHANCE, BY_CHANCE_AT_THE_END = 1e-6, 0.01
# Where more than this share of a shard is silent, it is judged anew: also the shard in the middle of which the judge broke.
ANEW = 0.1


def stopped(settled: Mapping[int, Event], complete: bool) -> "tuple[PauseReason.ValueType, str] | None":
    """Why the judge stops the run: the reason, and it in words; None where it does not.

    `settled`: unit → its fact; `complete`: these are all units of the stage.
    """
    if why := silence(settled, complete):
        return PauseReason.PAUSE_REASON_SILENT_JUDGE, why
    if why := one_sidedness(settled):
        return PauseReason.PAUSE_REASON_ONE_SIDED_JUDGE, why
    return None


def silence(settled: Mapping[int, Event], complete: bool) -> str:
    """Why the judge's silence stops the run, in words; empty where it does not."""
    looks = [_last(settled), *([list(settled.values())] if complete else [])]
    return next(filter(None, (_silence(last, settled, complete) for last in looks)), "")


def _silence(last: Sequence[Event], settled: Mapping[int, Event], complete: bool) -> str:
    """The same of the facts of these shards."""
    seen = sum(len(checked.judged(event.shard_labeled)) for event in last)
    if not seen and any(event.shard_labeled.choice for event in last):
        return ""  # Checks settled all of them: there was nothing to say.
    silent = sum(map(_silent, last))
    if not _too_silent(silent, seen, complete and bool(settled)):
        return ""
    if not seen:
        return "no pair has a verdict, for every unit failed. Mend the cause and try them anew (--resume)"
    of = many(seen, "pair") if len(last) == len(settled) else f"the last {many(seen, 'pair')}"
    causes = "; ".join(found.words for found in answer_faults.collected(event.shard_labeled for event in last))
    return (
        f"the judge gave no usable verdict on {silent} of {of}{f' ({causes})' if causes else ''}. Mend it and have those "
        "pairs judged anew (--resume), or go on without their verdicts (--resume --accept-judge)"
    )


def one_sidedness(settled: Mapping[int, Event]) -> str:
    """Why the judge's taste for a place stops the run, in words; empty where it does not."""
    flips = order_flips.flips_of(event.shard_labeled for event in _last(settled))
    if not flips.one_sided:
        return ""
    return (
        f"{order_flips.words(flips)}: more than a coin would change, so its verdicts follow the place and not the answer. "
        "Take another model, or criteria that it can follow, and go on from this run (--from RUN --judge … --criteria …); "
        "or go on with these verdicts (--resume --accept-judge)"
    )


def to_judge_anew(settled: Mapping[int, Event]) -> list[int]:
    """The shards that a mended judge should see again."""
    return [n for n, event in settled.items() if _silent(event) > ANEW * len(checked.judged(event.shard_labeled))]


def _last(settled: Mapping[int, Event]) -> Sequence[Event]:
    """The facts of the last shards, LOOKED_AT pairs or a few more of them."""
    seen, last = 0, []
    for number in nlargest(LOOKED_AT, settled):
        last.append(settled[number])
        seen += len(checked.judged(settled[number].shard_labeled))
        if seen >= LOOKED_AT:
            break
    return last


def _too_silent(silent: int, seen: int, complete: bool) -> bool:
    if complete and (not seen or 2 * silent > seen):
        return True
    if silent <= MOST * seen:
        return False
    return by_chance(silent, seen, DECENT) < (BY_CHANCE_AT_THE_END if complete else BY_CHANCE)


def _silent(event: Event) -> int:
    """Pairs of the shard without a usable verdict, of those that the judge was asked about."""
    said = event.shard_labeled
    choices = (checked.told(said.choice, at, Choice.CHOICE_UNSPECIFIED) for at in checked.judged(said))
    return sum(choice == Choice.CHOICE_UNSPECIFIED for choice in choices)
