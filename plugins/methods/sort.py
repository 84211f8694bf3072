"""Limantoro, "Parameter-Free Logit Distillation via Sorting Mechanism", IEEE Signal Processing Letters 2025, arXiv
2508.16544.

    L = lambda_CE CE(y, z_s) + lambda_KD T^2 KL(softmax(z' / T) || softmax(z_s / T))
    z' = z_t with its largest value at y, and each of those that were above y at the next smaller one

Where the teacher is wrong the label is moved to the top and the classes that stood above it down by one place, so that
their order stays. `swap` puts the first of them where the label was.

With `kd` as in the authors' code: T = 4, weights 0.1 and 0.9. The method has no numbers of its own. This is --set
kd.edit=sort, which goes with every other loss of logits. Of a mixed image y is the label with the larger share.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._edits import sort_logits
from .kd import kd_loss


class Sort(Method):
    """Match a teacher whose label is moved to the top, the others in their order."""

    name = "sort"
    paper = "Limantoro, Parameter-Free Logit Distillation via Sorting Mechanism, IEEE SPL 2025"
    terms = {"ce": "task", "sort": "distill"}
    mixed_labels = "larger"
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        taught = sort_logits(teacher.logits, batch.targets)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "sort": self.weight * kd_loss(student.logits, taught, self.temperature),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Sort, revision=1)
