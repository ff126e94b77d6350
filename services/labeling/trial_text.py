"""A judge's trial in words and as plain values. PURE."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from concord.kit.plural import many
from concord.labeling.judge import Combined
from concord.labeling.trial import Heard, Tried
from concord.preference import answer_faults, call_costs
from concord.preference.answer_faults import FaultyAnswers
from concord.v1.config_pb2 import JudgeConfig
from concord.v1.events_pb2 import AnswerFault
from concord.v1.pairs_pb2 import Choice

# Characters of an answer that are shown.
_SHOWN = 400
_SIDES = {Choice.CHOICE_FIRST: "the first", Choice.CHOICE_SECOND: "the second"}


def wanted(config: JudgeConfig, pairs: int) -> int:
    """Verdicts that were asked for."""
    return pairs * call_costs.orders(config)


def verdicts(tried: Tried) -> int:
    """Verdicts that came."""
    return sum(len(said.choices) for said in tried.said)


def scores(tried: Tried) -> int:
    """Scores of answers alone that came."""
    return sum(score is not None for pair in tried.scores for score in pair)


def lines(config: JudgeConfig, ids: Sequence[str], tried: Tried) -> Iterator[str]:
    """What was sent and dropped, each answer, each pair's verdict, and what it took; `ids` of the pairs."""
    yield f"judge {config.name} at {config.url}"
    yield "sent: " + ", ".join(f"{name} {_value(value)}" for name, value in tried.sent.items() if name != "model")
    yield "dropped: " + ("; ".join(tried.dropped) or "nothing: it takes all that is asked of it")
    for at, (name, said) in enumerate(zip(ids, tried.said, strict=True)):
        yield ""
        yield f"pair {name}"
        for swapped in (False, True):
            mine = [one for one in tried.heard if (one.pair, one.swapped, one.alone) == (at, swapped, False)]
            if mine:
                yield from _answer(mine[-1], len(mine))
        for miss in said.misses:
            if miss.fault == AnswerFault.ANSWER_FAULT_REJECTED:
                yield f"  {_order(miss.swapped)}: refused: {answer_faults.short(miss.text, _SHOWN)}"
        yield f"  → {_verdict(said)}"
        for second in (False, True):
            mine = [one for one in tried.heard if (one.pair, one.swapped, one.alone) == (at, second, True)]
            if mine:
                yield from _answer(mine[-1], len(mine))
    yield ""
    unscored = [heard.fault for heard in tried.heard if heard.alone and heard.fault]
    for fault in dict.fromkeys([*(miss.fault for said in tried.said for miss in said.misses), *unscored]):
        yield f"{_fault(fault).name}: {_fault(fault).cause.do}"
    yield from _sum(config, len(ids), tried)


def plain(config: JudgeConfig, ids: Sequence[str], tried: Tried) -> dict[str, Any]:
    """For `--json`."""
    known = config.prompt_dollars or config.completion_dollars
    return {
        "model": config.name,
        "url": config.url,
        "sent": dict(tried.sent),
        "dropped": list(tried.dropped),
        "pairs": [
            {
                "pair_id": name,
                "choice": {Choice.CHOICE_FIRST: "first", Choice.CHOICE_SECOND: "second"}.get(said.choice),
                "p_first": said.p_first,
                "order_flipped": bool(said.order_flipped) if said.order_flipped >= 0 else None,
                "answers": [_plain(heard) for heard in tried.heard if heard.pair == at],
                "without_verdict": [_fault(miss.fault).name for miss in said.misses],
                "scores": list(tried.scores[at]) if tried.scores else None,
            }
            for at, (name, said) in enumerate(zip(ids, tried.said, strict=True))
        ],
        "verdicts": verdicts(tried),
        "wanted": wanted(config, len(ids)),
        "calls": tried.usage.calls,
        "prompt_tokens": tried.usage.prompt_tokens,
        "completion_tokens": tried.usage.completion_tokens,
        "dollars": tried.usage.dollars if known else None,
        "seconds": tried.usage.seconds,
    }


def _answer(heard: Heard, tries: int) -> Iterator[str]:
    """The last answer for one pair in one order, or for one of its answers alone."""
    reply = heard.reply
    took = f"{reply.prompt_tokens or '?'} + {_tokens(reply.completion_tokens)}, {heard.seconds:.1f} s"
    finish = f", finish_reason {reply.finish}" if reply.finish and reply.finish != "stop" else ""
    if heard.score is not None:
        came = f"{heard.score:.3g} of 10"
    elif heard.verdict is not None:
        sure = f", {heard.verdict.confidence:.0%} sure" if heard.verdict.confidence is not None else ""
        came = f"{heard.verdict.winner}{sure}"
    else:
        came = f"no {'score' if heard.alone else 'verdict'}: {_fault(heard.fault).cause.words}"
    asked = f", the last of {many(tries, 'answer')}" if tries > 1 else ""
    which = f"the {'second' if heard.swapped else 'first'} alone" if heard.alone else _order(heard.swapped)
    yield f"  {which}: {came} ({took}{finish}{asked})"
    if reply.reasoning:
        yield f"    thought: {answer_faults.short(reply.reasoning, _SHOWN)}"
    yield f"    answered: {answer_faults.short(reply.text or reply.refusal, _SHOWN)}"


def _sum(config: JudgeConfig, pairs: int, tried: Tried) -> Iterator[str]:
    used, flips = tried.usage, sum(said.order_flipped == 1 for said in tried.said)
    known = config.prompt_dollars or config.completion_dollars
    price = call_costs.money(used.dollars) if known else "price unknown (--prompt-price, --completion-price)"
    yield (
        f"{verdicts(tried)} of {many(wanted(config, pairs), 'verdict')} in {many(used.calls, 'call')}: {used.prompt_tokens:,} + "
        f"{many(used.completion_tokens, 'token')}, {price}, {used.seconds:.1f} s"
    )
    if tried.scores:
        yield f"{scores(tried)} of {many(2 * pairs, 'answer')} scored alone"
    both = sum(said.order_flipped >= 0 for said in tried.said)
    if both:
        change = "changes" if flips == 1 else "change"
        yield f"{flips} of {many(both, 'verdict')} {change} when the two responses change places"
    if both and flips == both:
        yield "  none of them says which response is better: over more pairs such a judge stops the run; try another model"
    if known and used.calls:
        yield f"a thousand pairs would cost about {call_costs.money(used.dollars / pairs * 1000)}"


def _verdict(said: Combined) -> str:
    if said.choice not in _SIDES:
        return "no usable verdict"
    order = {1: ", but it changes with the order", 0: ", in both orders"}.get(said.order_flipped, "")
    if said.p_first == 0.5:
        return f"neither is better{order} (P(first) 0.50)"
    return f"{_SIDES[said.choice]} is better{order} (P(first) {said.p_first:.2f})"


def _plain(heard: Heard) -> dict[str, Any]:
    reply, verdict = heard.reply, heard.verdict
    return {
        "swapped": heard.swapped,
        "text": reply.text,
        "reasoning": reply.reasoning,
        "finish_reason": reply.finish,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "seconds": heard.seconds,
        "alone": heard.alone,
        "score": heard.score,
        "winner": verdict.winner if verdict is not None else None,
        "confidence": verdict.confidence if verdict is not None else None,
        "fault": _fault(heard.fault).name if heard.fault else None,
    }


def _tokens(count: int | None) -> str:
    return many(count, "token") if count else "? tokens"


def _fault(fault: int) -> FaultyAnswers:
    return FaultyAnswers("", fault, 1)


def _order(swapped: bool) -> str:
    return "the second as A" if swapped else "the first as A"


def _value(value: object) -> str:
    """A field of a request in a word or two: of a schema its kind."""
    if isinstance(value, Mapping):
        return str(value.get("type", "given"))
    return str(value).lower() if isinstance(value, bool) else str(value)
