"""The light reward model: linear Bradley-Terry heads on feature differences, one for each large domain. PURE.

P(first is better) = sigmoid(x . w) without intercept, so swapping two responses negates the margin exactly.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from concord.reward import logistic

Array = np.ndarray

# On HH, where helpful and harmless pull apart, an own head is 5 points better from 50 pairs on; on kindred domains (the
# sources of judged pairs) the pooled one is a point better at 50 and 100 and level at 500.
PAIRS_FOR_OWN_HEAD = 100
# The same ridge serves 500 to 5,000 pairs: log loss of held-out labels is within .02 of the best of 10 ... 1,000.
RIDGE = 300.0
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Head:
    """Weights of each domain with a head of its own, and of the pooled one that serves all others. A value."""

    domains: Array  # int64 [heads], ascending
    weights: Array  # float32 [heads + 1, dimensions]; the last row is the pooled head

    def arrays(self) -> dict[str, Array]:
        """Everything, for `np.savez`."""
        return {"format": np.array(_FORMAT), "domains": self.domains, "weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Array]) -> Self:
        """The inverse of `arrays`. Raises ValueError for another format, KeyError for a missing array."""
        if int(arrays["format"]) != _FORMAT:
            raise ValueError(f"a reward head of format {int(arrays['format'])}; this version reads {_FORMAT}")
        return cls(arrays["domains"], arrays["weights"])


def fit_head(x: Array, p_first: Array, weight: Array, domain: Array, ridge: float = RIDGE) -> Head:
    """The head that these labels teach.

    x [pairs, dimensions], first minus second; p_first [pairs] in [0, 1], soft targets allowed; weight [pairs], 0 leaves
    a pair out; domain [pairs], int; ridge above 0 pulls all weights towards 0. A domain with under
    PAIRS_FOR_OWN_HEAD pairs of positive weight is served by the pooled head, which learns from all pairs.
    Raises ValueError for a ridge of 0 or less.
    """
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0, not {ridge}")
    used = weight > 0
    x, p_first, weight, domain = x[used].astype(np.float32), p_first[used], weight[used], domain[used]
    names, sizes = np.unique(domain, return_counts=True)
    own = names[sizes >= PAIRS_FOR_OWN_HEAD] if len(names) > 1 else names[:0]
    parts = [domain == name for name in own] + [np.ones(len(x), dtype=bool)]
    weights = [_fit(x[part], p_first[part], weight[part], ridge) for part in parts]
    return Head(own.astype(np.int64), np.array(weights, dtype=np.float32))


def margins(head: Head, x: Array, domain: Array) -> Array:
    """reward(first) - reward(second) in logits, float32 [pairs]; positive: the first is better."""
    row = np.full(len(x), len(head.domains))
    for at, name in enumerate(head.domains):
        row[domain == name] = at
    out = np.zeros(len(x), dtype=np.float32)
    for at in np.unique(row):
        out[row == at] = x[row == at].astype(np.float32) @ head.weights[at]
    return out


def _fit(x: Array, p_first: Array, weight: Array, ridge: float) -> Array:
    dimensions = x.shape[1]
    return logistic.fit(x, p_first, weight, np.zeros(dimensions), np.full(dimensions, ridge))
