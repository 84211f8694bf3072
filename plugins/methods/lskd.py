"""Sun, Ren, Li, Wang, Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024, arXiv 2403.01427.

    L = lambda_CE CE(y, z_s) + lambda_KD T^2 KL(softmax(Z(z_t) / T) || softmax(Z(z_s) / T))
    Z(z) = (z - mean(z)) / std(z)          per sample, over classes

The z-score takes away what a sample's logits have of shift and scale, so that the student need not copy the size of the
teacher's logits, only their order and relations. T is then the paper's base temperature.

`lskd_loss` is the KL term without T^2; `LSKD` multiplies by T^2, as the authors' code does. That code's standard
deviation divides by classes - 1 and has 1e-7 added; both are followed. It tunes T and lambda_KD per pair; here its
default, T = 2 and 9 beside 0.1 for CE.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, BuildContext, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._divergence import kl_mean
from ._logits import LogitMethod


def _standardised(logits: Tensor) -> Tensor:
    return (logits - logits.mean(dim=1, keepdim=True)) / (logits.std(dim=1, keepdim=True) + 1e-7)


def lskd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL(teacher || student) of z-scored logits at temperature T, without T^2.

    Logits [N, classes]; a scalar, the mean over the batch.
    """
    log_student = F.log_softmax(_standardised(student_logits) / temperature, dim=1)
    log_teacher = F.log_softmax(_standardised(teacher_logits.detach()) / temperature, dim=1)
    return kl_mean(log_student, log_teacher)


class LSKD(LogitMethod):
    """Match softened probabilities of logits that are z-scored per sample."""

    name = "lskd"
    paper = "Sun, Ren, Li, Wang, Cao, Logit Standardization in Knowledge Distillation, CVPR 2024"
    terms = {"ce": "task", "lskd": "distill"}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 9.0
    temperature: Positive = 2.0

    def skip(self, context: BuildContext) -> str | None:
        if context.num_classes > 2:
            return None
        return "standardised logits of two classes are the same for all samples but for their order: they tell nothing"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        lskd = self.mean_loss(lambda s, t, _: lskd_loss(s, t, self.temperature), batch, student, teacher.logits)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "lskd": self.weight * self.temperature**2 * lskd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(LSKD, revision=1)
