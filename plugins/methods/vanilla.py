"""No distillation: the student trained on labels alone, the reference that every method must beat.

    L = CE(y, z_s)

y: labels; z_s: the student's logits. It reads no teacher, so it runs once per student.

label_smoothing: epsilon of smoothed labels, whatever the recipe says (None: as the recipe says). A defence against
wrong labels of its own (Lukasik, Bhojanapalli, Menon, Kumar, ICML 2020), here beside methods that claim one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Neutral, Outputs, Phase, Reads, hookimpl

Smoothing = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Vanilla(Method[None]):
    """The student trained on labels alone."""

    name = "vanilla"
    reads = Reads(teachers="none")
    terms = {"ce": "task"}
    mixed_labels = "mix"
    label_smoothing: Annotated[Smoothing | None, Neutral(None)] = None

    def phases(self) -> Sequence[Phase]:
        return [Phase(recipe={} if self.label_smoothing is None else {"label_smoothing": self.label_smoothing})]

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        return {"ce": batch.task_loss(student.logits)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Vanilla, revision=1)
