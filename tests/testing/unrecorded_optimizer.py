"""A method whose player has an optimiser that takes its learning rate as a number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import functional as F

from kdharness.api import Method, MethodSpec, OptimizerSpec, Pair, Phase, Player, Reads, hookimpl


class Plainly(Method[Any]):
    """Trains on labels."""

    name = "plainly"
    reads = Reads(teachers="none")

    def optimizers(self, pair: Pair) -> list[str]:
        return ["plain"]

    def phases(self) -> list[Phase]:
        return [Phase(players=(Player(optimizer={"optimizer": "plain"}),))]

    def losses(self, batch: Any, student: Any, teacher: Any) -> dict[str, torch.Tensor]:
        return {"ce": F.cross_entropy(student.logits, batch.targets)}


SPEC = MethodSpec.of(Plainly)


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield SPEC


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec("plain", torch.optim.SGD)
