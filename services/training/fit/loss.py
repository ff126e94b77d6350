"""The loss of a pair whose label is a probability."""

import torch
from torch.nn.functional import softplus


def weighted_loss(apart: torch.Tensor, p_chosen: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Mean over the pairs of w (-log sigmoid(d) + (1 - p) d).

    `apart` d, the chosen's reward less the rejected's; `p_chosen` p in [0, 1]; `weight` w, 0 or more: all of shape [pairs].
    That is the cross-entropy of sigmoid(d) to the target p; its gradient in d is w (sigmoid(d) - p) / pairs.
    """
    return (weight * (softplus(-apart) + (1 - p_chosen) * apart)).mean()
