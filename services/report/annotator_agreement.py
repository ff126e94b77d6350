"""How far people agree with each other, where several answered the same question. PURE."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from concord.report.history import History
from concord.report.shares import Share, share_of


@dataclass(frozen=True)
class Between:
    """Questions with two or more votes that counted."""

    unanimous: Share  # of these questions
    pairs_of_votes: Share  # two votes on the same question that say the same
    # Krippendorff's alpha for nominal answers: 1 they always agree, 0 as chance would; None where all said one thing.
    alpha: float | None


def between(history: History) -> Between | None:
    """People's agreement with each other; None where no question has two votes."""
    said = _choices(history)
    votes = [[said[vote] for vote in answer.annotation_ids if vote in said] for answer in history.answers]
    several = [answer for answer in votes if len(answer) > 1]
    if not several:
        return None
    same = sum(count * (count - 1) // 2 for answer in several for count in Counter(answer).values())
    return Between(
        unanimous=share_of(sum(len(set(answer)) == 1 for answer in several), len(several)),
        pairs_of_votes=share_of(same, sum(len(answer) * (len(answer) - 1) // 2 for answer in several)),
        alpha=krippendorff(several),
    )


def krippendorff(votes: Sequence[Sequence[int]]) -> float | None:
    """Krippendorff's alpha, nominal (2011, "Computing Krippendorff's alpha-reliability"): 1 - observed / expected.

    `votes`: for each question its answers, two or more. None where every vote is the same, or there is none.
    """
    together: Counter[int] = Counter()
    observed = 0.0
    for answer in votes:
        counts = Counter(answer)
        together.update(counts)
        agreeing = sum(count * (count - 1) for count in counts.values())
        observed += (len(answer) * (len(answer) - 1) - agreeing) / (len(answer) - 1)
    total = sum(together.values())
    expected = total * total - sum(count * count for count in together.values())
    return 1 - (total - 1) * observed / expected if expected else None


def _choices(history: History) -> Mapping[str, int]:
    return {
        event.event_id: event.annotation_submitted.choice
        for event, _ in history.events
        if event.WhichOneof("kind") == "annotation_submitted"
    }
