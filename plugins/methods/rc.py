"""A baseline of the code of `rld` (Sun, Chen, Lyu, Chen, Chen, Wang, "Knowledge Distillation with Refined Logits", ICCV
2025, arXiv 2408.07703), there under this name: the student corrects itself.

    L = lambda_CE CE(y, z_s) + lambda_KD T^2 KL(p_t || p_s) + lambda_RC T^2 KL(softmax(z' / T) || p_s)
    z' = z_s with max z_s added to z_s,y, without gradient

p: softmax of the logits at temperature T. Beside the teacher the student is taught by its own answer, in which the
label has been raised: nearly always above all others.

The code's configurations name no weights for it. Those of CE and KD and T = 4 are `kd`'s, and lambda_RC is lambda_KD's.
--set kd.edit=rc puts z' in the teacher's place. Of a mixed image y is the label with the larger share.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._edits import corrected_logits
from .kd import kd_loss


def rc_loss(student_logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """T^2 KL(corrected student || student). Logits [N, classes], targets int64 [N]; a scalar, the batch's mean."""
    return kd_loss(student_logits, corrected_logits(student_logits, targets), temperature)


class RC(Method):
    """Match softened probabilities of the teacher, and the student's own with the label raised."""

    name = "rc"
    paper = "Sun, Chen, Lyu, Chen, Chen, Wang, Knowledge Distillation with Refined Logits, ICCV 2025 (a baseline)"
    terms = {"ce": "task", "kd": "distill", "rc": "distill"}
    mixed_labels = "larger"
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    rc_weight: NotNegative = 0.9
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.weight * kd_loss(student.logits, teacher.logits, self.temperature),
            "rc": self.rc_weight * rc_loss(student.logits, batch.targets, self.temperature),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(RC, revision=1)
