"""The same pair more than once: said, and where its labels contradict each other, a tie. PURE."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from concord.client.intake.verdicts import CHOSEN
from concord.kit.plural import many
from concord.preference.pairs import Choice, Row, unordered_hash
from concord.v1 import pairs_pb2 as pb

TIE, ASIDE = "tie", "aside"
CONTRADICTIONS = (TIE, ASIDE)
KIND = "contradicts another row"


@dataclass(frozen=True)
class Settled:
    """Rows of which no two contradict each other."""

    rows: tuple[Row, ...]
    repeated: int  # rows whose pair an earlier row has, the right or the other way round
    contradicting: int  # rows whose label another row of the same pair contradicts
    left_out: int  # how many of these are not in `rows`


def settled(rows: Sequence[Row], contradictions: str) -> Settled:
    """The rows, those that contradict each other made ties, or (ASIDE) left out."""
    known: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        known.setdefault(unordered_hash(row.pair), []).append(at)
    groups = [group for group in known.values() if len(group) > 1]
    against = {at for group in groups if _contradict([rows[at] for at in group]) for at in group if _label(rows[at])}
    kept = [_tied(row) if at in against else row for at, row in enumerate(rows)]
    if contradictions == ASIDE:
        kept = [row for at, row in enumerate(rows) if at not in against]
    return Settled(tuple(kept), sum(len(group) - 1 for group in groups), len(against), len(rows) - len(kept))


def notes(made: Settled) -> list[str]:
    """What the user should know of it, in words."""
    said = []
    if made.repeated:
        said.append(
            f"{many(made.repeated, 'row has', 'rows have')} the pair of an earlier row, the same way or the other way "
            "round; all are kept"
        )
    if made.contradicting:
        how = "are set aside" if made.left_out else "count as ties (--contradictions aside leaves them out)"
        said.append(
            f"{many(made.contradicting, 'row contradicts', 'rows contradict')} another row of the same pair: they {how}"
        )
    return said


def _contradict(rows: Sequence[Row]) -> bool:
    return len({_winner(row) for row in rows if _label(row)}) > 1


def _label(row: Row) -> Choice | None:
    """The label by which a row can contradict another: people's, else the order's; None where it decides nothing."""
    label = row.truth
    if label is None and (said := row.verdict_of(CHOSEN)):
        label = said.choice
    return label if label in (pb.CHOICE_FIRST, pb.CHOICE_SECOND) else None


def _winner(row: Row) -> str:
    return row.pair.first.text if _label(row) == pb.CHOICE_FIRST else row.pair.second.text


def _tied(row: Row) -> Row:
    verdicts = tuple(
        pb.RecordedVerdict(judge=CHOSEN, choice=pb.CHOICE_TIE) if said.judge == CHOSEN else said
        for said in row.verdicts
    )
    return replace(row, truth=None if row.truth is None else pb.CHOICE_TIE, verdicts=verdicts)
