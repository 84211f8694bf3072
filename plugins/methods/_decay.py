"""A weight that falls to nothing by a cosine over the last epochs of a phase."""

from __future__ import annotations

import math

from torch import Tensor

from kdharness.api import StepInfo


def cosine_decay(step: StepInfo, start: float) -> Tensor | float:
    """The share that a weight has in this epoch: 1 up to the share `start` of the epochs, then (1 + cos(pi r)) / 2, r
    rising to 1, which it has in the last epoch.

    A 0-d tensor, so that a captured step sees it change; the number 1 where there is no rest.
    """
    if start >= 1:
        return 1.0
    rest = ((step.epoch + 1) / step.epochs - start) / (1 - start)
    return (1 + (math.pi * rest.clamp(0, 1)).cos()) / 2
