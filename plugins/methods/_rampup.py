"""A weight that rises slowly at first, then fast, over the first epochs of a phase."""

from __future__ import annotations

from torch import Tensor


def rampup(epoch: Tensor, epochs: int) -> Tensor | float:
    """exp(-5 (1 - min(epoch / epochs, 1))^2), as Laine and Aila, ICLR 2017, have it: from 0.0067 to 1, by epochs done.

    epoch: 0-d, counted from 0. A 0-d tensor, so that a captured step sees it change; 1 where there are no such epochs.
    """
    if epochs == 0:
        return 1.0
    left = 1 - (epoch / epochs).clamp(max=1.0)
    return (-5 * left.square()).exp()
