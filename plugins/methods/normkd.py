"""Chi, Zheng, Li, Yang, Wu, Lin, Cai, "NormKD: Normalized Logits for Knowledge Distillation", 2023, arXiv 2308.00520.

    L = lambda_CE CE(y, z_s) + lambda_KD mean_i T_t,i^2 KL(softmax(z_t,i / T_t,i) || softmax(z_s,i / T_s,i))
    T_i = T_norm std(z_i)          per sample, over classes; one for each network

A temperature for each sample: logits that spread widely are softened more. softmax takes no notice of a shift, so the
probabilities are those of `lskd` at T = T_norm; what differs is the factor, which is the teacher's own temperature here
and grows with the spread of its logits.

The standard deviation divides by classes - 1, and gradient flows through the student's, as in the authors' code, whose
CIFAR-100 values are the defaults; for ImageNet it has T_norm = 1 and weights of 0.5. The deviation is not let below
1e-7, so that logits that are all equal give no division by zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, BuildContext, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._divergence import kl_each
from ._logits import LogitMethod


def _temperature(logits: Tensor, scale: float) -> Tensor:
    return scale * logits.std(dim=1, keepdim=True).clamp(min=1e-7)


def normkd_loss(student_logits: Tensor, teacher_logits: Tensor, scale: float) -> Tensor:
    """mean_i T_t,i^2 KL(teacher || student), each at its own temperature. scale: T_norm.

    Logits [N, classes]; a scalar.
    """
    teacher_logits = teacher_logits.detach()
    temperature = _temperature(teacher_logits, scale)
    log_student = F.log_softmax(student_logits / _temperature(student_logits, scale), dim=1)
    log_teacher = F.log_softmax(teacher_logits / temperature, dim=1)
    return (temperature.squeeze(1) ** 2 * kl_each(log_student, log_teacher)).mean()


class NormKD(LogitMethod):
    """Match softened probabilities, each sample at a temperature in proportion to the spread of its logits."""

    name = "normkd"
    paper = "Chi, Zheng, Li, Yang, Wu, Lin, Cai, NormKD: Normalized Logits for Knowledge Distillation, 2023"
    terms = {"ce": "task", "normkd": "distill"}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    scale: Positive = 2.0

    def skip(self, context: BuildContext) -> str | None:
        if context.num_classes > 2:
            return None
        return "normalised logits of two classes are the same for all samples but for their order: they tell nothing"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        normkd = self.mean_loss(lambda s, t, _: normkd_loss(s, t, self.scale), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "normkd": self.weight * normkd}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(NormKD, revision=1)
