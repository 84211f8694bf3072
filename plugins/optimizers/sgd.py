"""Stochastic gradient descent with momentum, as torch has it (Sutskever, Martens, Dahl, Hinton, "On the importance of
initialization and momentum in deep learning", ICML 2013, but for the place of the learning rate).

    v <- mu v + g + lambda theta        theta <- theta - lr v        (Nesterov's: - lr (g + lambda theta + mu v))
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from kdharness.api import OptimizerSpec, hookimpl


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec(
        "sgd",
        torch.optim.SGD,
        summary="gradient descent with momentum, also Nesterov's",
        reads=("weight_decay", "momentum", "nesterov"),
        fused=True,
        capturable=True,
        paper="Sutskever, Martens, Dahl, Hinton, On the importance of initialization and momentum in deep learning, "
        "ICML 2013",
        revision=1,
    )
