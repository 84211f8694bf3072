"""A weight that falls to nothing by a cosine towards the end of a phase."""

from __future__ import annotations

import math

from torch import Tensor

from kdharness.api import StepInfo


def cosine_decay(step: StepInfo, start: float) -> Tensor | float:
    """The share that a weight has at this step: 1 up to the share `start` of the phase, then (1 + cos(pi r)) / 2, r
    rising from 0 to 1 over the rest.

    A 0-d tensor, so that a captured step sees it change; the number 1 where there is no rest.
    """
    if start >= 1:
        return 1.0
    rest = ((step.progress - start) / (1 - start)).clamp(min=0.0)
    return (1 + (math.pi * rest).cos()) / 2
