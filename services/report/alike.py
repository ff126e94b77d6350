"""Pairs of annotators whose answers agree beyond what the questions explain: who copies, or has agreed on what to say. PURE.

Two able persons agree often, on easy questions everybody does. Both are seen in how each of them agrees with all the others, the
judge among them: if errors are independent, twice the share of equal answers less one is the product of two abilities. So a pair is
compared with what their abilities promise, which are fitted to all other pairs. Two who copy agree more than that.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from concord.kit.plural import many
from concord.preference.votes import by_person
from concord.preference.wilson import by_chance
from concord.v1.events_pb2 import TaskResolved
from concord.v1.pairs_pb2 import Choice

Array = np.ndarray

# Questions that both answered: fewer prove nothing. Of the persons' answers beside the judge's label, likewise.
LEAST = 20
# P(two are named who answer independently), in a whole run; shared by all pairs of persons.
FALSE_ALARM = 0.01
# Of the answers that should differ, so many may be the same: questions differ in difficulty beyond what the fit knows.
SLACK = 0.2
_STEPS = 60
# A pair that is not rare before its abilities are fitted without it cannot be so afterwards by much.
_WORTH_A_FIT = 0.05
_SIDES = (Choice.CHOICE_FIRST, Choice.CHOICE_SECOND)


@dataclass(frozen=True)
class Alike:
    """Two who answer alike: how often they did, and how often they should."""

    one: str
    other: str
    shared: int
    same: int
    expected: float


def alike(
    resolved: Iterable[TaskResolved], label: Mapping[int, int], slack: float = SLACK, false_alarm: float = FALSE_ALARM
) -> tuple[Alike, ...]:
    """The pairs of persons that are named, the rarest first. `label`: pair → the judge's Choice, of those that it has one on."""
    names, shared, same = _counts(resolved, label)
    people = len(names)
    if people < 2:
        return ()
    told = [(i, j) for i in range(people) for j in range(i) if shared[i, j] >= LEAST]
    everybody = _abilities(shared, same)
    found = []
    for i, j in told:
        if _chance(shared, same, everybody, i, j, slack) > _WORTH_A_FIT:
            continue
        others = shared.copy()
        others[i, j] = others[j, i] = 0
        ability = _abilities(others, same)
        # Each must have been seen beside somebody else.
        p = _chance(shared, same, ability, i, j, slack) if min(others[i].sum(), others[j].sum()) >= LEAST else 1.0
        if p < false_alarm / len(told):
            expected = (1 + ability[i] * ability[j]) / 2
            found.append((p, Alike(names[j], names[i], int(shared[i, j]), int(same[i, j]), expected)))
    return tuple(one for _, one in sorted(found, key=lambda item: item[0]))


def words(one: Alike) -> str:
    """What was found."""
    return (
        f"{one.one!r} and {one.other!r} gave the same answer to {one.same:,} of {many(one.shared, 'question')} that both were "
        f"asked; as each of them answers beside others, some {one.expected:.0%} would be"
    )


DO = "look at these answers and when they were given: do the two sit together, copy, or share a program or an account?"


def _counts(resolved: Iterable[TaskResolved], label: Mapping[int, int]) -> tuple[list[str], Array, Array]:
    """Names, and [people + 1, people + 1] questions that two answered and answers that were the same; the judge is the last."""
    said: list[dict[str, int]] = []
    judge: list[int] = []
    for task in resolved:
        votes = {who: int(what) for who, what in by_person(task) if who and what in _SIDES}
        if votes:
            said.append(votes)
            judge.append(label.get(task.pair_index, 0))
    names = sorted({who for votes in said for who in votes})
    at = {who: number for number, who in enumerate(names)}
    shared, same = np.zeros((2, len(names) + 1, len(names) + 1))
    for votes, its in zip(said, judge, strict=True):
        given = [(at[who], what) for who, what in votes.items()] + ([(len(names), its)] if its in _SIDES else [])
        for i, what in given:
            for j, other in given:
                if i != j:
                    shared[i, j] += 1
                    same[i, j] += what == other
    return names, shared, same


def _abilities(shared: Array, same: Array) -> Array:
    """Each one's ability in [0, 1], 0 a coin: the products that explain the agreement best; [people + 1]."""
    agreement = np.divide(2 * same - shared, shared, out=np.zeros_like(shared), where=shared > 0)
    ability = np.full(len(shared), 0.7)
    for _ in range(_STEPS):
        weight = shared @ ability**2
        fitted = np.divide((shared * agreement) @ ability, weight, out=ability.copy(), where=weight > 1e-9)
        ability = (ability + np.clip(fitted, 0.0, 1.0)) / 2
    return ability


def _chance(shared: Array, same: Array, ability: Array, i: int, j: int, slack: float) -> float:
    """P(two such persons agree so often, or more often)."""
    expected = (1 + ability[i] * ability[j]) / 2
    # What their abilities promise is known from so many answers beside others.
    unsure = float(
        np.sqrt(0.25 / max(1.0, shared[i].sum() - shared[i, j]) + 0.25 / max(1.0, shared[j].sum() - shared[i, j]))
    )
    p = min(0.999, expected + unsure + slack * (1 - expected))
    return by_chance(int(same[i, j]), int(shared[i, j]), p)


def named(found: Sequence[Alike]) -> list[str]:
    """All who are in one of the pairs."""
    return sorted({name for one in found for name in (one.one, one.other)})
