"""No distillation: the student trained on labels alone, the reference that every method must beat.

    L = CE(y, z_s)

y: labels; z_s: the student's logits. It reads no teacher, so it runs once per student.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Outputs, Reads, hookimpl


class Vanilla(Method[None]):
    """The student trained on labels alone."""

    name = "vanilla"
    reads = Reads(teachers="none")
    terms = {"ce": "task"}
    mixed_labels = "mix"

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        return {"ce": batch.task_loss(student.logits)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Vanilla, revision=1)
