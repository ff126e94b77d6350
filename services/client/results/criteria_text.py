"""Where people overruled a run's judge, and what other criteria would change: in words and as plain values. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from concord.client.results.criteria import SIDES, Trial
from concord.kit.plural import many
from concord.preference import call_costs
from concord.preference.call_costs import Expected
from concord.preference.judges import named
from concord.report import disagreement, words
from concord.report.disagreement import Answered
from concord.report.history import History
from concord.report.overruled import shortened
from concord.report.paired import Paired
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import Usage

_TEXT = 400
_NOTED = 200


def account(history: History, found: Sequence[Answered], most: int) -> Iterator[str]:
    """Where people overruled the judge, for a terminal: shares by group, then up to `most` pairs with their texts."""
    judge = history.created.config.judge
    yield f"run {history.run_id[:8]}, judge {named(judge.kind, judge.name)}"
    yield f"criteria: {shortened(' '.join(judge.criteria.split()), _TEXT) or 'none of its own'}"
    if not found:
        yield "people have decided no pair of this run yet"
        return
    overruled = words.of(disagreement.overruled_of(found))
    yield f"people decided {words.count(len(found), 'pair')} and overruled the judge on {overruled}"
    if any(one.drawn for one in found):
        share = disagreement.overruled_of(one for one in found if one.drawn)
        yield f"of those drawn at random on {words.of(share)}; the others were asked because they were doubtful"
    for name, shares in disagreement.groups(found).items():
        yield f"by {name}"
        yield from (f"  {group.name:36}  {words.of(group.overruled)}" for group in shares)
    cases = disagreement.cases(found)
    for one in cases[:most]:
        yield ""
        yield from _case(one)
    if len(cases) > most:
        yield f"… and {len(cases) - most:,} more (--shown {len(cases)})"


def as_json(history: History, found: Sequence[Answered], tried: Trial | None) -> dict[str, Any]:
    """Plain values for `--json`."""
    return {
        "run_id": history.run_id,
        "criteria": history.created.config.judge.criteria,
        "answered": len(found),
        "overruled": vars(disagreement.overruled_of(found)),
        "groups": {
            name: [{"name": group.name, **vars(group.overruled)} for group in shares]
            for name, shares in disagreement.groups(found).items()
        },
        "pairs": [_plain(one) for one in disagreement.cases(found)],
        "tried": None if tried is None else _tried_json(tried),
    }


def cost_line(judge: JudgeConfig, found: Sequence[Answered], cost: Expected) -> str:
    """What a trial will cost, before it costs anything."""
    known = judge.prompt_dollars or judge.completion_dollars
    price = f"about {call_costs.money(cost.dollars)}" if known else "price unknown"
    return (
        f"the judge is asked again about the {words.count(len(found), 'pair')} that people decided: "
        f"{many(cost.calls, 'call')} with "
        f"{cost.prompt_tokens:,.0f} + {many(cost.completion_tokens, 'token')}, {price}; no person is asked, and no run pays for it"
    )


def trial_lines(tried: Trial, usage: Usage) -> Iterator[str]:
    """What other criteria would change, for a terminal."""
    whole = tried.agreement
    yield f"agreement with people: before {words.of(whole.before)}, now {words.of(whole.after)}"
    yield _change(whole)
    if tried.drawn is not None:
        drawn = tried.drawn
        yield f"of the pairs drawn at random: before {words.of(drawn.before)}, now {words.of(drawn.after)}"
    if tried.mended:
        yield f"right now, and wrong before: pairs {_listed(tried.mended)}"
    if tried.broken:
        yield f"wrong now, and right before: pairs {_listed(tried.broken)}"
    if tried.silent:
        yield f"{words.count(tried.silent, 'pair')} got no usable verdict, which agrees with nobody"
    spent = f", {call_costs.money(usage.dollars)}" if usage.dollars else ""
    kept = many(usage.cached_calls, "answer was", "answers were")
    yield f"{many(usage.calls, 'call was', 'calls were')} paid{spent}, {kept} kept from before"


def _change(whole: Paired) -> str:
    points = f"{words.signed(100 * whole.difference, 1)} points, 95 % interval {words.signed(100 * whole.low, 1)} to "
    points += f"{words.signed(100 * whole.high, 1)}"
    sure = "more than chance" if whole.p_chance < 0.05 else "may be chance"
    return (
        f"pair by pair: {points}; {whole.mended:,} mended, {whole.broken:,} broken: {sure} (p = {whole.p_chance:.2g})"
    )


def _case(one: Answered) -> Iterator[str]:
    chose = {1: "chose the longer", -1: "chose the shorter", 0: ""}[one.longer]
    sure = f"{one.confidence:.0%} sure" if one.confidence is not None else ""
    order = "changes with the order" if one.flipped == 1 else ""
    about = ", ".join(filter(None, (one.pair.domain, chose, sure, order)))
    yield (
        f"pair {one.pair.pair_id}: people chose the {SIDES[one.people]}, the judge the {SIDES[one.judge]}"
        + (f" ({about})" if about else "")
    )
    if one.pair.harmful:
        yield "  marked as harmful: its texts are not shown here, and stand in the report behind a click and in --json"
        return
    turns = " / ".join(f"{turn.role}: {turn.content}" for turn in one.pair.prompt)
    for name, said in (("prompt", turns), ("first", one.pair.first.text), ("second", one.pair.second.text)):
        yield f"  {name + ':':8} {shortened(' '.join(said.split()), _TEXT) or '(empty)'}"
    if one.comment:
        yield f"  a person: {shortened(' '.join(one.comment.split()), _NOTED)}"


def _plain(one: Answered) -> dict[str, Any]:
    return {
        "index": one.index,
        "pair_id": one.pair.pair_id,
        "domain": one.pair.domain,
        "prompt": [{"role": turn.role, "content": turn.content} for turn in one.pair.prompt],
        "first": one.pair.first.text,
        "second": one.pair.second.text,
        "people": SIDES[one.people],
        "judge": SIDES[one.judge],
        "confidence": one.confidence,
        "order_flipped": bool(one.flipped) if one.flipped >= 0 else None,
        "drawn_at_random": one.drawn,
        "comment": one.comment,
        **({"harmful": True} if one.pair.harmful else {}),
    }


def _tried_json(tried: Trial) -> dict[str, Any]:
    def plain(made: Paired) -> dict[str, Any]:
        return {**vars(made), "before": vars(made.before), "after": vars(made.after)}

    return {
        "agreement": plain(tried.agreement),
        "drawn_at_random": plain(tried.drawn) if tried.drawn else None,
        "without_verdict": tried.silent,
        "mended": list(tried.mended),
        "broken": list(tried.broken),
    }


def _listed(indexes: Sequence[int], most: int = 20) -> str:
    more = f" and {len(indexes) - most:,} more" if len(indexes) > most else ""
    return ", ".join(map(str, indexes[:most])) + more
