"""Loshchilov, Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv 1711.05101, as torch has it.

The decay of the weights is multiplied by the learning rate, as in torch and unlike in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kdharness.api import OptimizerSpec, hookimpl

from .adam import MOMENTS


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec(
        "adamw",
        torch.optim.AdamW,
        summary="Adam with weight decay beside the gradient",
        parameters=MOMENTS,
        fused=True,
        capturable=True,
        paper="Loshchilov, Hutter, Decoupled Weight Decay Regularization, ICLR 2019",
        revision=1,
    )
