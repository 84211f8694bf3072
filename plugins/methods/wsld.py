"""Zhou, Song, Chen, Zhou, Wang, Yuan, Zhang, "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance
Tradeoff Perspective", ICLR 2021, arXiv 2102.00650.

    L = CE(y, z_s) + alpha T^2 mean_i w_i CE(p_t,i, p_s,i)
    w_i = 1 - exp(-CE(y_i, z_s,i) / CE(y_i, z_t,i))

p: softmax of the logits at temperature T; the losses in w are those on the label at temperature 1. A sample that the
student already has as right as the teacher counts little, one on which it is far behind counts fully. No gradient
flows through w.

The soft term is a cross-entropy, so that it is at its smallest, not at 0, where the student equals the teacher. As in
the authors' code 1e-7 is added to the teacher's loss. That code is for ImageNet (T = 2, alpha = 2.5); cls_KD has T = 4
and alpha = 2.25 for CIFAR-100, which is followed here. Of mixed images w has the label with the larger share.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._logits import LogitMethod


def _label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.detach(), targets, reduction="none")


def wsld_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """T^2 mean_i w_i CE(p_t,i, p_s,i) without alpha. Logits [N, classes], targets int64 [N]; a scalar."""
    p_teacher = F.softmax(teacher_logits.detach() / temperature, dim=1)
    soft = -(p_teacher * F.log_softmax(student_logits / temperature, dim=1)).sum(dim=1)
    ratio = _label_loss(student_logits, targets) / (_label_loss(teacher_logits, targets) + 1e-7)
    return temperature**2 * (-(-ratio.clamp(min=0)).expm1() * soft).mean()


class WSLD(LogitMethod):
    """Match softened probabilities, a sample with the more weight the further the student is behind on it."""

    name = "wsld"
    paper = "Zhou, Song, Chen, Zhou, Wang, Yuan, Zhang, Rethinking Soft Labels for Knowledge Distillation, ICLR 2021"
    terms = {"ce": "task", "wsld": "distill"}
    by_label = True
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 2.25
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        wsld = self.mean_loss(lambda s, t, y: wsld_loss(s, t, y, self.temperature), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "wsld": self.weight * wsld}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(WSLD, revision=1)
