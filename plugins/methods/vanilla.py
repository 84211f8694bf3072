"""No distillation: the student trained on labels alone, the reference that every method must beat.

    L = CE(y, z_s)

y: labels; z_s: the student's logits. It reads no teacher, so it runs once per student.

label_smoothing: epsilon of smoothed labels, whatever the recipe says (None: as the recipe says). A defence against
wrong labels of its own (Lukasik, Bhojanapalli, Menon, Kumar, ICML 2020), here beside methods that claim one.

length: how many times the recipe's epochs it trains, its schedule stretched: what a method is to be set against whose
epochs take as many times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Neutral, Outputs, Phase, Positive, Reads, hookimpl

Smoothing = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Vanilla(Method[None]):
    """The student trained on labels alone."""

    name = "vanilla"
    reads = Reads(teachers="none")
    terms = {"ce": "task"}
    mixed_labels = "mix"
    label_smoothing: Annotated[Smoothing | None, Neutral(None)] = None
    length: Annotated[Positive, Neutral(1.0)] = 1.0

    def phases(self) -> Sequence[Phase]:
        changed = {} if self.label_smoothing is None else {"label_smoothing": self.label_smoothing}
        return [Phase(fraction=self.length, recipe=changed)]

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        return {"ce": batch.task_loss(student.logits)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Vanilla, revision=1)
