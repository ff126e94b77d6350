"""Is a response the JSON that was asked for. Pure."""

import json
import re
from typing import Any

from concord.checks.final import without_thoughts
from concord.checks.finding import Asked, Finding, Kind, Outcome
from concord.checks.schema import fault, same

_FENCED = re.compile(r"```[a-zA-Z0-9]{0,10}[ \t]{0,3}\n(.*?)\n?[ \t]{0,9}```", re.S)


class _NotJson(ValueError):
    """NaN and Infinity, which Python reads and JSON has not."""


def check(asked: Asked) -> Finding:
    """That it parses, fits the reference's schema, and equals the reference's value, as far as the reference has these."""
    value, why = parsed(asked.response)
    if why:
        return _told(Outcome.WRONG if why == NO_JSON else Outcome.UNKNOWN, why)
    try:
        return _against(value[0], asked)
    except RecursionError:
        return _told(Outcome.UNKNOWN, "it is nested too deep to be checked")


NO_JSON = "it is not JSON"


def parsed(response: str) -> tuple[tuple[Any, ...], str]:
    """((the value,), "") of a response that is JSON alone, in a fence or without; else ((), why not)."""
    text = without_thoughts(response).strip()
    if text.count("```") == 2 and (fence := _FENCED.search(text)):
        outside = text[: fence.start()] + text[fence.end() :]
        found, why = _loaded(fence[1])
        return (found, why) if why or not outside.strip() else ((), "its JSON stands among other words")
    found, why = _loaded(text)
    begin = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    end = max(text.rfind("}"), text.rfind("]"))
    if why == NO_JSON and 0 < begin < end:
        inner, inner_why = _loaded(text[begin : end + 1])
        return ((), "its JSON stands among other words") if inner or inner_why != NO_JSON else ((), NO_JSON)
    return found, why


def _loaded(text: str) -> tuple[tuple[Any, ...], str]:
    try:
        return (json.loads(text, parse_constant=_refused, object_pairs_hook=_object),), ""
    except RecursionError:
        return (), "it is nested too deep to be read"
    except ValueError:
        return (), NO_JSON


def _refused(name: str) -> None:
    raise _NotJson(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _NotJson("a field that comes twice")
    return found


def _against(value: Any, asked: Asked) -> Finding:
    reference = asked.reference
    unseen = ""
    if reference.schema is not None:
        wrong, sure = fault(value, reference.schema)
        if sure:
            return _told(Outcome.WRONG, wrong)
        unseen = wrong
    golds = [found[0] for answer in reference.answers if (found := _loaded(answer)[0])]
    if golds and not any(same(value, gold) for gold in golds):
        return _told(Outcome.WRONG, "its value is not the reference's")
    if unseen and not golds:
        return _told(Outcome.UNKNOWN, unseen)
    return _told(
        Outcome.RIGHT, "its value is the reference's" if golds else "it is JSON" + ", and fits" * bool(reference.schema)
    )


def _told(outcome: Outcome, why: str) -> Finding:
    return Finding(outcome, why, Kind.JSON)
