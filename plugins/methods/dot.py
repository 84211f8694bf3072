"""Zhao, Cui, Song, Qiu, Liang, "DOT: A Distillation-Oriented Trainer", ICCV 2023, arXiv 2307.08436.

The loss is that of KD; what is new is the optimiser (`optimizers/dot.py`), which keeps a momentum for the gradient of
each of the two terms: mu - delta for the task, mu + delta for distillation.

With KD's terms alone the paper has T = 4, weights 0.1 and 0.9, and delta = 0.075 on CIFAR-100, 0.09 on ImageNet. Each
step is two backward passes of one forward pass. The recipe's own optimiser is replaced, its momentum is mu.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from kdharness.api import MethodSpec, Pair, Phase, Player, Step, hookimpl

from .kd import KD


class DOT(KD):
    """Match softened class probabilities, with a larger momentum for that gradient."""

    name = "dot"
    paper = "Zhao, Cui, Song, Qiu, Liang, DOT: A Distillation-Oriented Trainer, ICCV 2023"
    ablations = {"one_momentum": {"delta": 0.0}}
    delta: Annotated[float, Field(ge=0, lt=0.5)] = 0.075

    def optimizers(self, pair: Pair) -> Sequence[str]:
        return ["dot"]

    def phases(self) -> Sequence[Phase]:
        return [Phase(players=(Player(optimizer={"optimizer": "dot", "delta": self.delta}),))]

    def update(self, step: Step) -> None:
        step.zero_grad()
        step.apply(gradients={name: step.gradients(step.total(name)) for name in ("task", "distill")})


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DOT, revision=1)
