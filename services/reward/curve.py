"""The reward distribution as a curve, and where it bends: elbow, knee and reflection. PURE.

The curve holds each pair's reward margin toward the judge's label, in descending order: on the left the reward model
agrees strongly with the label, on the right it objects. RLTHF (arXiv 2502.13417, section 3) reads three points off it but
gives no detector; ours is the farthest point from a chord, drawn over each half.
"""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray

FEWEST = 8  # pairs; below this a half has too few points for a bend to mean anything
# How far a half must sag from its chord, as a share of the half's drop; a straight line's chance wobble stays below.
SHALLOWEST = 0.05


@dataclass(frozen=True)
class Bends:
    """Positions on the descending curve, counted from 0; None where there is no such point.

    Always elbow < knee <= reflection where they exist.
    """

    elbow: int | None  # left of it labels are most surely right
    knee: int | None  # right of it labels become doubtful fast
    reflection: int | None  # from here on the model objects as strongly as it agrees at the elbow


NONE = Bends(None, None, None)


def bends(sorted_delta: Array) -> Bends:
    """Where the curve bends.

    `sorted_delta` [pairs], descending, finite. The elbow is the point farthest below the chord of the left half, the
    knee the one farthest above the chord of the right half; a half that is straight, or bends the other way, has none.
    The reflection is the first position at or right of the knee with delta < -delta(elbow); there is none without an
    elbow above 0, without a knee, or where no label is objected to so strongly. Under FEWEST pairs there is nothing.
    Raises ValueError where the values are not finite or not in descending order.
    """
    delta = np.asarray(sorted_delta, dtype=np.float64)
    if not np.isfinite(delta).all() or (np.diff(delta) > 0).any():
        raise ValueError("the margins must be finite and in descending order")
    if len(delta) < FEWEST:
        return NONE
    middle = len(delta) // 2
    elbow = _farthest(delta[: middle + 1], below=True)
    right = _farthest(delta[middle:], below=False)
    knee = None if right is None else middle + right
    return Bends(elbow, knee, _reflection(delta, elbow, knee))


def _farthest(half: Array, below: bool) -> int | None:
    """The position farthest from the chord between the ends, on one side of it.

    Distances are taken along the margin's axis: square to the chord they differ by one factor only.
    """
    drop = half[0] - half[-1]
    if drop <= 0:
        return None
    chord = np.linspace(half[0], half[-1], len(half))
    away = chord - half if below else half - chord
    at = int(np.argmax(away))
    return at if away[at] > SHALLOWEST * drop else None


def _reflection(delta: Array, elbow: int | None, knee: int | None) -> int | None:
    if elbow is None or knee is None or delta[elbow] <= 0:
        return None
    first = int(np.searchsorted(-delta, delta[elbow], side="right"))
    at = max(first, knee)
    return at if at < len(delta) and delta[at] < -delta[elbow] else None
