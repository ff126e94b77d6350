"""Where a judge's verdicts changed their nature: jumps in shares from shard to shard, in the order of the log. PURE.

A signal is a share: so many hits of so many. Between two parts of a run it jumps where one share for both explains the
counts far worse than two. Shards that scatter more than chance would, because their texts differ, weigh less accordingly.
"""
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A jump has at least so many shards on each side, moves the share by so much, and has so much evidence beyond the
# logarithm of the places it could be at: one false alarm in some thousand runs.
LEAST_SHARDS = 2
LEAST_STEP = 0.15
EVIDENCE = 14.0
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
    """From shard `at` on (counted in the order of the log) the share is `after`; before it was `before`."""

    signal: str
    at: int
    before: float
    after: float
    evidence: float


def jumps(signal: Signal) -> list[Jump]:
    """All jumps of the signal, in order; shards of which it says nothing are passed over."""
    hits, of = np.asarray(signal.hits, float), np.asarray(signal.of, float)
    told = np.flatnonzero(of > 0)
    found = _split(signal.name, hits[told], of[told])
    return [Jump(j.signal, int(told[j.at]), j.before, j.after, j.evidence) for j in found]


def _split(name: str, hits: NDArray, of: NDArray) -> list[Jump]:
    best = _best(name, hits, of)
    if best is None:
        return []
    later = _split(name, hits[best.at :], of[best.at :])
    moved = [Jump(j.signal, j.at + best.at, j.before, j.after, j.evidence) for j in later]
    return [*_split(name, hits[: best.at], of[: best.at]), best, *moved]


def _best(name: str, hits: NDArray, of: NDArray) -> Jump | None:
    places = np.arange(LEAST_SHARDS, len(of) - LEAST_SHARDS + 1)
    if not len(places):
        return None
    left, left_of = np.cumsum(hits)[places - 1], np.cumsum(of)[places - 1]
    right, right_of = hits.sum() - left, of.sum() - left_of
    gain = 2 * (_likelihood(left, left_of) + _likelihood(right, right_of) - _likelihood(hits.sum(), of.sum()))
    k = int(np.argmax(gain))
    at, before, after = int(places[k]), float(left[k] / left_of[k]), float(right[k] / right_of[k])
    evidence = float(gain[k]) / _scatter(hits, of)
    if evidence < EVIDENCE + 2 * np.log(len(places)) or abs(after - before) < LEAST_STEP:
        return None
    return Jump(name, at, before, after, evidence)


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
