"""A weight that rises over the first epochs of a phase."""

from __future__ import annotations

from torch import Tensor

from kdharness.api import StepInfo


def warmup(step: StepInfo, epochs: int) -> Tensor | float:
    """The share that a weight has at this step: it rises from 0 to 1 over the first `epochs`, without steps.

    A 0-d tensor, so that a captured step sees it change; the number 1 where there are no such epochs.
    """
    if epochs == 0:
        return 1.0
    return (step.progress * (step.epochs / epochs)).clamp(max=1.0)
