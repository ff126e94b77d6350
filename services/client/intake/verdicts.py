"""Whose recorded verdicts a run uses: which judge a name means. PURE."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from concord.client.intake.labels import VOTE
from concord.kit.plural import many
from concord.preference.pairs import Row
from concord.v1 import pairs_pb2 as pb

# The name by which the order of `chosen` and `rejected` can serve as a judge: for files that an LLM has labelled.
CHOSEN = "chosen"
# What an LLM's bare name means, in this order.
_PLAIN_PROMPTS = ("/Vanilla_NoRules", "/Vanilla")
_NAMES_SHOWN = 8
_ALIKE = 0.6


class UnknownJudge(ValueError):
    """No verdicts of that name; the text lists those there are."""


@dataclass(frozen=True)
class Judges:
    """Whose verdicts a run uses, as exact keys of `ai_labels`."""

    main: str  # gives the labels
    own_prompts: tuple[str, ...] = ()  # the same LLM asked differently
    helpers: tuple[str, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """All of them, each once, the main judge first."""
        return tuple(dict.fromkeys((self.main, *self.own_prompts, *self.helpers)))


def verdicts_seen(rows: tuple[Row, ...]) -> dict[str, int]:
    """For each judge in the file, how many rows have a usable verdict of it."""
    seen: dict[str, int] = {}
    for row in rows:
        for verdict in row.verdicts:
            seen[verdict.judge] = seen.get(verdict.judge, 0) + (verdict.choice != pb.CHOICE_UNSPECIFIED)
    return seen


def resolve_judge(name: str, seen: Mapping[str, int]) -> tuple[str, tuple[str, ...]]:
    """The exact key that `name` means, and the keys of the same LLM's other prompts, sorted.

    `name` is a key, or an LLM's name: then its plainest prompt is meant. `seen` as from `verdicts_seen`. Raises
    UnknownJudge.
    """
    wished = [name, *(name + prompt for prompt in _PLAIN_PROMPTS)]
    key = next((wish for wish in wished if seen.get(wish)), None)
    if key is None or name.endswith(VOTE):
        raise UnknownJudge(_no_such_judge(name, seen))
    model = key.split("/")[0]
    return key, tuple(sorted(other for other in seen if other.split("/")[0] == model and other != key and seen[other]))


def resolve_judges(name: str, helpers: tuple[str, ...], seen: Mapping[str, int]) -> Judges:
    """The run's judges by the names that a user gives; raises UnknownJudge, also for a judge that helps itself."""
    main, own_prompts = resolve_judge(name, seen)
    keys = tuple(dict.fromkeys(resolve_judge(helper, seen)[0] for helper in helpers))
    if main in keys:
        raise UnknownJudge(f"the helper {main!r} is the judge itself; name another one, or none")
    return Judges(main, tuple(key for key in own_prompts if key not in keys), keys)


def _no_such_judge(name: str, seen: Mapping[str, int]) -> str:
    usable = {key: count for key, count in seen.items() if count}
    if name.endswith(VOTE):
        return f"{name!r} is a majority over an LLM's prompts; majorities are never an input, name one prompt"
    if not usable:
        return f"no judge {name!r}: the file holds no verdicts"
    near = {key: max(_likeness(name, key), _likeness(name, key.split("/")[0])) for key in usable}
    alike = [key for key in usable if near[key] >= _ALIKE]
    ranked = sorted(alike or usable, key=lambda key: (-near[key] if alike else 0, -usable[key], key))[:_NAMES_SHOWN]
    listed = ", ".join(f"{key} ({many(usable[key], 'row')})" for key in ranked)
    return f"no judge {name!r} in the file; {'near names' if alike else 'there are'}: {listed}"


def _likeness(one: str, other: str) -> float:
    """How alike two names are, in [0, 1], whatever their case."""
    return SequenceMatcher(None, one.lower(), other.lower()).ratio()
