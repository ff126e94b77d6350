"""What the labelling judge may be asked beside its verdict: which pairs, how often, about what. PURE.

Nothing of it is asked unless the configuration says so. Each shard is looked at alone, so that a unit done again asks the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from concord.kit.errors import InvalidInput
from concord.preference.judges import JUDGE_KINDS
from concord.preference.methods import METHODS
from concord.preference.seeded import uniform
from concord.v1.config_pb2 import JudgeConfig, RunConfig

# RunConfig.rubric: not at all; for the pairs of which the judge's verdict is least sure; for all.
RUBRIC = ("", "doubtful", "all")
# One of so many pairs of a shard is doubtful.
ONE_OF = 3
# Pairs that people answered which the judge is shown with another, where they teach it.
EXAMPLES = 3
MOST_VOTES = 9
# Criteria that are asked for one by one; what stands behind them is part of the last.
MOST_CRITERIA = 8

_ITEM = re.compile(r"^[ \t]*(?:[-*•–]|\(?(?:\d{1,2}|[a-z])[.):])[ \t]+", re.MULTILINE)
_END = re.compile(r"(?<=[.;!?])\s+(?=\S)|\n+")


@dataclass(frozen=True)
class Calls:
    """How often a judge is asked about the pairs of one shard, beside its verdicts."""

    name: str  # as the signal is called
    judge: JudgeConfig
    doubtful: bool  # of the doubtful pairs alone
    each: int  # calls for each of these pairs
    also: float = 0.0  # share of the pairs that are asked about beside the doubtful
    examples: int = 0  # further pairs that each call shows

    @property
    def a_pair(self) -> float:
        """Calls for a pair, in the mean."""
        return self.each * min(1.0, 1 / ONE_OF + self.also) if self.doubtful else float(self.each)

    def of(self, pairs: int) -> int:
        """Calls for a shard with so many pairs."""
        return self.each * (min(pairs, doubtful_of(pairs) + ceil(self.also * pairs)) if self.doubtful else pairs)


def calls(config: RunConfig) -> tuple[Calls, ...]:
    """What the configuration asks for beside verdicts; nothing where the judge knows no scores."""
    judge = config.judge
    wanted = (
        Calls("rubric", judge, config.rubric != "all", 2 if config.rubric else 0),
        Calls("votes", judge, True, config.judge_votes),
        Calls("criteria", judge, True, len(criteria_of(judge.criteria)) if config.criteria_apart else 0),
    )
    return tuple(one for one in wanted if one.each)


def teaching(config: RunConfig, pairs: int) -> tuple[Calls, ...]:
    """What teaching the judge asks, in a run with so many pairs: the doubtful, and those that people answered."""
    if not (config.people_teach and config.method in METHODS and METHODS[config.method].learns):
        return ()
    orders = 2 if config.judge.both_orders else 1
    answered = config.human_budget / max(1, pairs) if config.human_budget else config.human_budget_share
    return (Calls("taught", config.judge, True, orders, min(1.0, answered), EXAMPLES),)


def check(config: RunConfig) -> None:
    """Refuses what is asked of a judge that has only verdicts. Raises InvalidInput."""
    if config.rubric not in RUBRIC:
        raise InvalidInput(
            f"rubric {config.rubric[:60]!r} is neither doubtful nor all; leave it out where no scores are wanted"
        )
    kind = JUDGE_KINDS.get(config.judge.kind)
    wanted = [name for name in ("rubric", "judge_votes", "criteria_apart", "people_teach") if getattr(config, name)]
    if wanted and kind and not kind.further:
        raise InvalidInput(
            f"{wanted[0]}: a judge of kind {config.judge.kind} cannot be asked anything but what it has "
            "said; leave it out, or give a judge behind an endpoint (--judge URL#MODEL)"
        )
    if config.criteria_apart and len(criteria_of(config.judge.criteria)) < 2:
        raise InvalidInput(
            "criteria_apart: the criteria are one, so there is nothing to ask apart; give several, one a line (--criteria)"
        )


def check_method(config: RunConfig) -> None:
    """Refuses to have people teach the judge where the run's own method makes nothing of it. Raises InvalidInput."""
    if config.people_teach and config.method in METHODS and not METHODS[config.method].learns:
        learning = " and ".join(name for name, method in METHODS.items() if method.learns)
        raise InvalidInput(
            f"people_teach: method {config.method} makes nothing of what the judge says then; {learning} do"
        )


def doubtful_of(pairs: int) -> int:
    """How many of a shard's pairs are its doubtful third."""
    return -(-pairs // ONE_OF)


def doubtful(
    decided: Sequence[bool], flipped: Sequence[int], surety: Sequence[float], hashes: Sequence[str], seed: int
) -> list[int]:
    """Places of the shard's doubtful third, ascending; every argument has shape [pairs].

    `decided`: has a usable verdict, the others are never doubtful but unknown; `flipped`: 1 where the verdict changes with the
    order; `surety`: of the verdict, in [0.5, 1]. First the flipped, then the least sure; equals by a draw of the pair's hash.
    """
    order = sorted(
        (place for place, there in enumerate(decided) if there),
        key=lambda place: (flipped[place] != 1, surety[place], uniform("doubtful", seed, hashes[place])),
    )
    return sorted(order[: doubtful_of(len(decided))])


def criteria_of(text: str) -> tuple[str, ...]:
    """The criteria one by one: the items of a list, else its lines and sentences; one where there is but one, none for none."""
    parts = _ITEM.split(text) if len(_ITEM.findall(text)) > 1 else _END.split(text)
    found = [part.strip(" \t\n;") for part in parts if part.strip(" \t\n;.")]
    if len(found) > MOST_CRITERIA:
        found = [*found[: MOST_CRITERIA - 1], " ".join(found[MOST_CRITERIA - 1 :])]
    return tuple(found)
