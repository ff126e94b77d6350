"""A round's labels as they would be without the pair's own answer, so that an answer may test its own label. PURE."""

import numpy as np

from concord.triage.posterior import Posterior, Trust
from concord.triage.signals import Signals

Array = np.ndarray


def labels_without(believed: Posterior, signals: Signals) -> tuple[Array, Array] | None:
    """(label, P(it is wrong)), both float [pairs]: what the round would say of each pair if its own fold had not been asked.

    A label is P(first is better), 1, 0, or 0.5 for none. None where the round labels by a model that saw all answers.
    """
    p_wrong = believed.p_without
    if np.isnan(p_wrong).any():
        return None
    flips = (p_wrong > 0.5) & (signals.label != 0) & (believed.trust > Trust.PRIORS)
    label = (1 + np.where(flips, -signals.label, signals.label)) / 2
    return label, np.where(flips, 1 - p_wrong, p_wrong)
