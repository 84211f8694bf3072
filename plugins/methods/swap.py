"""Wen, Lai, Qian, "Preparing Lessons: Improve Knowledge Distillation with Better Supervision", 2019, arXiv
1911.07471: probability shift.

    L = T^2 KL(softmax(z' / T) || softmax(z_s / T))
    z' = z_t with z_t,y and max z_t exchanged

Where the teacher is wrong the label gets the largest value and the class that it took for it the label's; where it is
right nothing changes. So the teacher is never wrong, and how its belief is spread stays.

This follows the baseline of that name in the code of `rld`: no loss on labels, which are in z' already, and `kd`'s T =
4. --set kd.edit=swap is `kd` with its labels and the same exchange, and goes with every other loss of logits. Of a
mixed image y is the label with the larger share.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._edits import swap_logits
from .kd import kd_loss


class Swap(Method):
    """Match a teacher whose label and largest logit are exchanged."""

    name = "swap"
    paper = "Wen, Lai, Qian, Preparing Lessons: Improve Knowledge Distillation with Better Supervision, 2019"
    terms = {"swap": "distill"}
    mixed_labels = "larger"
    weight: NotNegative = 1.0
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        taught = swap_logits(teacher.logits, batch.targets)
        return {"swap": self.weight * kd_loss(student.logits, taught, self.temperature)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Swap, revision=1)
