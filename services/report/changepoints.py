"""Where a judge's verdicts changed their nature: jumps in shares from shard to shard, in the order of the log. PURE.

A signal is a share: so many hits of so many. Between two parts of a run it jumps where one share for both explains the
counts far worse than two. Shards that scatter more than chance would, because their texts differ, weigh less accordingly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# A jump moves the share by so much, and has so much evidence beyond the logarithm of the places it could be at: one false
# alarm in some thousand runs.
LEAST_STEP = 0.15
EVIDENCE = 14.0
# Shards are judged side by side, so a judge that breaks at one moment breaks in several shards, bit by bit.
SIDE_BY_SIDE = 4
# Median of a squared standard normal number.
MEDIAN_OF_CHANCE = 0.455
BARS = "▁▂▃▄▅▆▇█"
MOST_BARS = 60


@dataclass(frozen=True)
class Signal:
    """One share, shard by shard in the order of the log; `hits` may be sums of numbers in [0, 1]. Shape [shards]."""

    name: str
    hits: Sequence[float]
    of: Sequence[float]


@dataclass(frozen=True)
class Jump:
    """Up to shard `at` (counted in the order of the log) the share was `before`; from shard `full` on it is `after`."""

    signal: str
    at: int
    full: int
    before: float
    after: float
    evidence: float


def jumps(signal: Signal, evidence: float = EVIDENCE) -> list[Jump]:
    """All jumps of the signal, in order; shards of which it says nothing are passed over. `evidence`: what a jump needs."""
    hits, of = np.asarray(signal.hits, float), np.asarray(signal.of, float)
    told = np.flatnonzero(of > 0)
    found = _split(signal.name, hits[told], of[told], evidence)
    return [replace(jump, at=int(told[jump.at]), full=int(told[jump.full])) for jump in _merged(found)]


def _merged(found: Sequence[Jump]) -> list[Jump]:
    """Steps in the same direction close to each other are one jump; it is full where its largest step was."""
    out: list[Jump] = []
    largest = 0.0
    for jump in found:
        before = out[-1] if out else None
        step = jump.after - jump.before
        if before is None or (step > 0) != (before.after > before.before) or jump.at - before.full > SIDE_BY_SIDE:
            out.append(jump)
            largest = abs(step)
            continue
        full = jump.full if abs(step) > largest else before.full
        out[-1] = replace(before, full=full, after=jump.after, evidence=before.evidence + jump.evidence)
        largest = max(largest, abs(step))
    return out


def _split(name: str, hits: NDArray, of: NDArray, least: float) -> list[Jump]:
    best = _best(name, hits, of, least)
    if best is None:
        return []
    later = _split(name, hits[best.at :], of[best.at :], least)
    moved = [replace(jump, at=jump.at + best.at, full=jump.full + best.at) for jump in later]
    return [*_split(name, hits[: best.at], of[: best.at], least), best, *moved]


def _best(name: str, hits: NDArray, of: NDArray, least: float) -> Jump | None:
    places = np.arange(1, len(of))
    if not len(places):
        return None
    left, left_of = np.cumsum(hits)[places - 1], np.cumsum(of)[places - 1]
    right, right_of = hits.sum() - left, of.sum() - left_of
    gain = 2 * (_likelihood(left, left_of) + _likelihood(right, right_of) - _likelihood(hits.sum(), of.sum()))
    k = int(np.argmax(gain))
    at, before, after = int(places[k]), float(left[k] / left_of[k]), float(right[k] / right_of[k])
    evidence = float(gain[k]) / _scatter(hits, of)
    if evidence < least + 2 * np.log(len(places)) or abs(after - before) < LEAST_STEP:
        return None
    return Jump(name, at, at, before, after, evidence)


def _likelihood(hits: NDArray, of: NDArray) -> NDArray:
    p = np.clip(hits / of, 1e-9, 1 - 1e-9)
    return hits * np.log(p) + (of - hits) * np.log(1 - p)


def _scatter(hits: NDArray, of: NDArray) -> float:
    """How many times as much as chance neighbouring shards differ; at least 1. A median, so a few jumps do not count."""
    share = hits / of
    p = ((hits[1:] + hits[:-1]) / (of[1:] + of[:-1])).clip(0.01, 0.99)
    chance = p * (1 - p) * (1 / of[1:] + 1 / of[:-1])
    return max(1.0, float(np.median(np.diff(share) ** 2 / chance)) / MEDIAN_OF_CHANCE)


def bars(signal: Signal) -> str:
    """The signal drawn shard by shard, a dot where it says nothing; many shards share a bar."""
    hits, of = np.asarray(signal.hits, float), np.asarray(signal.of, float)
    groups = np.array_split(np.arange(len(of)), min(len(of), MOST_BARS))
    shares = [hits[group].sum() / of[group].sum() if of[group].sum() else None for group in groups]
    return "".join("·" if s is None else BARS[min(len(BARS) - 1, int(s * len(BARS)))] for s in shares)
