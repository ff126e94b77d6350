"""What checks decided before the judge was asked, kind by kind, and how often people agree. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from concord.preference import checked
from concord.preference.call_costs import orders
from concord.preference.judges import networked_judges
from concord.report.accuracy import Truth
from concord.report.history import History
from concord.report.shares import Share, share_of
from concord.v1.pairs_pb2 import Choice

_SIDES = {checked.FIRST: Choice.CHOICE_FIRST, checked.SECOND: Choice.CHOICE_SECOND}


@dataclass(frozen=True)
class KindOfCheck:
    """One kind of check over the run."""

    kind: str
    tried: int  # pairs
    decided: int  # of them: the label
    both_wrong: int  # of them: no preference, and a person's or nobody's
    left: int  # of them: the judge's
    people: Share | None  # people's decided answers that agree with its labels; None where nobody was asked about any
    right: Share | None  # its labels that are the truth; None without truth


@dataclass(frozen=True)
class Checks:
    """All kinds, the most frequent first."""

    kinds: tuple[KindOfCheck, ...]
    calls_saved: int  # that judges were not asked for, every order of every judge counted once

    @property
    def decided(self) -> int:
        """Pairs whose label is theirs."""
        return sum(one.decided for one in self.kinds)

    @property
    def both_wrong(self) -> int:
        """Pairs on which both answers are wrong."""
        return sum(one.both_wrong for one in self.kinds)


def checks(history: History, truth: Truth | None) -> Checks | None:
    """What checks came to; None where nothing was checked."""
    if not history.checks:
        return None
    by_kind: dict[str, list[int]] = {}
    for index, (note, _) in sorted(history.checks.items()):
        by_kind.setdefault(note.kind, []).append(index)
    kinds = [_kind(kind, indexes, history, truth) for kind, indexes in by_kind.items()]
    settled = sum(one.decided + one.both_wrong for one in kinds)
    calls = sum(map(orders, networked_judges(history.created.config)))
    return Checks(tuple(sorted(kinds, key=lambda one: (-one.tried, one.kind))), settled * calls)


def _kind(kind: str, indexes: Sequence[int], history: History, truth: Truth | None) -> KindOfCheck:
    decided = {index for index in indexes if history.checks[index][0].decided}
    wrong = sum(history.checks[index][1] == checked.NEITHER for index in indexes)
    said = {answer.pair: answer.choice for answer in history.answers if answer.decided and answer.pair in decided}
    known = {index: truth[index] for index in decided if truth and truth.get(index) in _SIDES.values()}
    return KindOfCheck(
        kind=kind,
        tried=len(indexes),
        decided=len(decided),
        both_wrong=wrong,
        left=len(indexes) - len(decided) - wrong,
        people=_agree(said, history.given) if said else None,
        right=_agree(known, history.given) if truth is not None and known else None,
    )


def _agree(said: dict[int, int], given: np.ndarray) -> Share:
    return share_of(sum(choice == given[index] for index, choice in said.items()), len(said))
