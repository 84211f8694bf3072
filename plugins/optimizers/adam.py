"""Kingma, Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, arXiv 1412.6980, as torch has it.

Weight decay is added to the gradient, and so is divided by its size too; `adamw` decays the weights themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field

from kdharness.api import OptimizerSpec, Parameter, Positive, hookimpl

Decay = Annotated[float, Field(ge=0, lt=1)]
MOMENTS = (
    Parameter("betas", tuple[Decay, Decay], (0.9, 0.999)),
    Parameter("eps", Positive, 1e-8),
)


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec(
        "adam",
        torch.optim.Adam,
        summary="steps of the size of the gradient's own scale; weight decay is part of the gradient",
        parameters=MOMENTS,
        fused=True,
        capturable=True,
        paper="Kingma, Ba, Adam: A Method for Stochastic Optimization, ICLR 2015",
        revision=1,
    )
