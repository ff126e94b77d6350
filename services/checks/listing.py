"""Are the items of a list the right ones. Pure."""

import re
from collections.abc import Sequence

from concord.checks.final import without_thoughts
from concord.checks.finding import Asked, Finding, Kind, Outcome
from concord.checks.likeness import like
from concord.checks.words import stem, words_of
from concord.kit.plural import many

MAX_ITEMS = 500
_BULLET = re.compile(r"^[ \t>]{0,8}(?:[-*•–]|\d{1,3}[.)]|[a-z][.)])[ \t]{1,4}(\S[^\n]{0,400})$", re.M)
_DETAIL = re.compile(r"\s[-–—:]\s|:\s|\s\(|\*\*:")


def check(asked: Asked) -> Finding:
    """Against the reference's items: all of them and no others; in their order where the reference says so.

    An item that is nowhere in the response makes it wrong, and so do more items that are not asked for than ones that are.
    A few more than the reference has: can't tell.
    """
    golds = [_alternatives(answer) for answer in asked.reference.answers[:MAX_ITEMS]]
    golds = [gold for gold in golds if gold]
    if not golds:
        return _told(Outcome.UNKNOWN, "the reference lists nothing")
    response = without_thoughts(asked.response)
    items = [words for item in items_of(response) if (words := tuple(map(stem, words_of(item))))]
    whole = f" {' '.join(stem(word) for word in words_of(response))} "
    places = [_place(gold, items) for gold in golds]
    missing = [gold for gold, place in zip(golds, places, strict=True) if place is None]
    absent = [gold for gold in missing if not any(f" {' '.join(map(stem, words))} " in whole for words in gold)]
    if absent:
        return _told(Outcome.WRONG, f'it does not list "{" ".join(absent[0][0][:6])}"')
    if missing:
        return _told(Outcome.UNKNOWN, "an item stands outside of its list")
    extra = len(items) - len({place for place in places if place is not None})
    if extra > len(golds):
        return _told(Outcome.WRONG, f"it lists {many(extra, 'item')} too many")
    if extra > 0:
        return _told(Outcome.UNKNOWN, f"it lists {extra} more than the reference")
    if asked.reference.ordered and places != sorted(places, key=lambda place: place or 0):
        return _told(Outcome.WRONG, "the items stand in another order")
    return _told(Outcome.RIGHT, f"it lists all {len(golds)}")


def items_of(response: str) -> list[str]:
    """The items of the last list in a response: bullets or numbers; else what commas separate in its last line."""
    bullets = [found[1] for found in _BULLET.finditer(response)]
    if len(bullets) >= 2:
        return [_DETAIL.split(item.replace("**", "").strip(), maxsplit=1)[0] for item in bullets[:MAX_ITEMS]]
    lines = [line.strip() for line in response.splitlines() if line.strip()]
    if not lines:
        return []
    if len(lines) > 1 and all(len(line) < 80 and not line.endswith((".", ":")) for line in lines[1:]):
        # One item a line, after a heading or without one.
        return lines[1 if lines[0].endswith(":") else 0 :][:MAX_ITEMS]
    last = lines[-1][:20_000]
    last = last[last.rfind(": ") + 2 :] if ": " in last else last
    return [part.strip(" .*\"'") for part in re.split(r",|;|\band\b|&", last) if part.strip(" .*\"'")][:MAX_ITEMS]


def _alternatives(answer: str) -> list[tuple[str, ...]]:
    return [words for one in answer.split("|") if (words := tuple(words_of(one)))]


def _place(gold: Sequence[tuple[str, ...]], items: Sequence[tuple[str, ...]]) -> int | None:
    """At which item it stands; None: at none. A sentence around the item is allowed where it is the list's own."""
    stems = [tuple(map(stem, words)) for words in gold]
    for at, said in enumerate(items):
        spaced = f" {' '.join(said)} "
        if any(said == words or (f" {' '.join(words)} " in spaced and len(said) <= len(words) + 4) for words in stems):
            return at
        if any(
            len(said) == len(words) and all(a == b or like(a, (b,)) for a, b in zip(words, said, strict=True))
            for words in stems
        ):
            return at
    return None


def _told(outcome: Outcome, why: str) -> Finding:
    return Finding(outcome, why, Kind.LIST)
