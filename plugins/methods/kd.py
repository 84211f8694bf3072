"""Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", NIPS Deep Learning Workshop 2014, arXiv
1503.02531.

    L = (1 - a) CE(y, z_s) + a T^2 KL(softmax(z_t / T) || softmax(z_s / T))

z_s, z_t: logits of student and teacher; T: temperature. The factor T^2 keeps the size of the soft gradient when T
changes (section 2 of the paper). The KL divergence is summed over classes and averaged over the batch.

Public implementations agree on the loss; some average over classes too, which makes it smaller by their number.
RepDistiller and mdistiller both take T = 4 with weights 0.1 and 0.9, as here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, hookimpl


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) at temperature T. Logits [N, classes]; a scalar, the mean over the batch."""
    log_student = F.log_softmax(student_logits / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


class KD(Method):
    """Match softened class probabilities."""

    name = "kd"
    paper = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, NIPS Deep Learning Workshop 2014"
    terms = {"ce": "task", "kd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.weight * kd_loss(student.logits, teacher.logits, self.temperature),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(KD, revision=1)
