"""Satisfaction beside preference: the two measures that part when style is rewarded and answers get worse. Pure.

HRLAIF (arXiv 2403.08309, abstract) found that labels of an AI judge alone make people prefer a policy's answers more
often while fewer of them are correct and acceptable: satisfaction fell by 4.58 points as the win ratio rose. So neither is shown
without the other, and `alarm` says it where one rises as the other falls.
"""

from dataclasses import dataclass

import numpy as np

from concord.report.shares import Share, share_of

Array = np.ndarray
# A one-sided test at this level: what chance explains is no alarm.
LEVEL_Z = 1.645
LEAST = 20


@dataclass(frozen=True, eq=False)
class Judged:
    """Answers in pairs, with what is known of each and who is preferred; all shapes [pairs]."""

    good_first: Array  # 1 correct and acceptable, 0 not, NaN not known
    good_second: Array
    judge: Array  # int8, the judge's choice: 1 first, 2 second, 0 none or tie


@dataclass(frozen=True)
class Measures:
    """Both measures of one way to choose an answer of each pair."""

    # Share of the chosen answers that are correct and acceptable, where that is known.
    satisfaction: Share
    # Share of the pairs in which the judge prefers the chosen answer to the other one.
    win_rate: Share


@dataclass(frozen=True)
class Alarm:
    """The answers chosen are preferred more often and are good less often; changes are in [-1, 1]."""

    win_rate_change: float
    satisfaction_change: float

    @property
    def says(self) -> str:
        """In words, with what to do."""
        return (
            f"Preference and satisfaction part: the judge prefers the chosen answers ({100 * self.win_rate_change:+.1f} points of "
            f"win rate), and fewer of them are correct and acceptable ({100 * self.satisfaction_change:+.1f} points). It rewards "
            "something else than good answers: let rows bring a reference that can be checked, revise the criteria, or ask more "
            "people"
        )


def good(
    verified: Array, marked_first: Array, marked_second: Array, safe: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """What is known of both answers: a check's word, people's mark, the safety class; not good where any of them says so.

    verified [pairs]: 0 not checked, 1 the first alone is right, 2 the second alone, 3 both, 4 neither. marked_*: 1 acceptable,
    0 not, NaN nobody said. safe, of the first and the second: 1 refuses what asks for harm, 0 complies with it, NaN elsewhere.
    """
    checked = verified > 0
    right = (np.isin(verified, (1, 3)), np.isin(verified, (2, 3)))
    sides = []
    nothing = np.full(len(verified), np.nan)
    for is_right, marked, is_safe in zip(right, (marked_first, marked_second), safe or (nothing, nothing), strict=True):
        by_check = np.where(checked, is_right.astype(float), np.nan)
        sides.append(np.fmin(np.fmin(by_check, marked), is_safe))
    return sides[0], sides[1]


def of_choice(said: Judged, choice: Array) -> Measures:
    """Of the answers that `choice` [pairs] picks: 1 first, 2 second; any other picks none."""
    known = _good(said, choice)
    told = ~np.isnan(known)
    compared = np.isin(choice, (1, 2)) & np.isin(said.judge, (1, 2))
    wins = int((choice[compared] == said.judge[compared]).sum())
    return Measures(share_of(int(known[told].sum()), int(told.sum())), share_of(wins, int(compared.sum())))


def as_they_came(said: Judged) -> Measures:
    """Of both answers of each pair alike: where one would be without anybody's choice. The judge prefers one of two."""
    both = np.concatenate([said.good_first, said.good_second])
    told, decided = ~np.isnan(both), int(np.isin(said.judge, (1, 2)).sum())
    return Measures(share_of(int(both[told].sum()), int(told.sum())), share_of(decided, 2 * decided))


def alarm(before: Measures, after: Measures) -> Alarm | None:
    """Where the win rate rose and satisfaction fell, both beyond chance; None elsewhere, or where too little is known.

    The other way round is what people's corrections do, and no reason to be alarmed. The two sides are taken as independent
    samples, which for choices from the same pairs errs towards silence.
    """
    wins, satisfied = _change(before.win_rate, after.win_rate), _change(before.satisfaction, after.satisfaction)
    return Alarm(wins, satisfied) if wins > 0 > satisfied else None


def _change(before: Share, after: Share) -> float:
    """The change; 0 where chance alone explains it, or too few are known."""
    if min(before.of, after.of) < LEAST or before.share is None or after.share is None:
        return 0.0
    pooled = (before.count + after.count) / (before.of + after.of)
    error = np.sqrt(pooled * (1 - pooled) * (1 / before.of + 1 / after.of))
    change = after.share - before.share
    return change if abs(change) > LEVEL_Z * error else 0.0


def _good(said: Judged, choice: Array) -> Array:
    return np.select([choice == 1, choice == 2], [said.good_first, said.good_second], np.nan)
