"""A plugin of one file, as an author tests it: a method, and the network and the optimiser that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdharness.api import (
    Batch,
    Method,
    MethodSpec,
    ModelSpec,
    OptimizerSpec,
    Outputs,
    Phase,
    Player,
    Reads,
    hookimpl,
)
from kdharness.testing.tiny import TinyConv


class WithItsOwnOptimizer(Method[None]):
    """Labels alone."""

    name = "with_its_own_optimizer"
    reads = Reads(teachers="none")
    terms: Mapping[str, Any] = {"ce": "task"}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase(players=(Player(optimizer={"optimizer": "halved", "lr": 0.1}),)),)

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> Mapping[str, Tensor]:
        return {"ce": batch.task_loss(student.logits)}


def halved(params: Any, lr: float) -> torch.optim.SGD:
    return torch.optim.SGD(params, lr=lr / 2)


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(WithItsOwnOptimizer)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        "own_net", lambda classes, shape: TinyConv(classes, shape, 3), stages=("stages.0",), classifier="classifier"
    )


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec("halved", halved, reads=())
