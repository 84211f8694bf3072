"""Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024, arXiv 2402.11148.

    L = CE(y, z_s) + beta KL(q || p_s),    q_i = p_t,i^gamma / sum_j p_t,j^gamma

p: softmax of the logits at temperature 1. Raising the teacher's probabilities to the power gamma = 1 / T is what a
temperature T does to them; unlike in KD the student has none, and there is no factor T^2. With gamma = 1 this is KD at
T = 1.

The authors tune gamma and beta per pair in their paper; the defaults are those of the example in their code (gamma =
0.1, beta = 45, vgg13 to vgg8).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._divergence import kl_mean
from ._logits import LogitMethod


def ttm_loss(student_logits: Tensor, teacher_logits: Tensor, gamma: float) -> Tensor:
    """KL(q || p_s) without beta. Logits [N, classes]; a scalar, the mean over the batch."""
    # Of a power of probabilities the logarithm is a multiple of the logits.
    log_q = F.log_softmax(gamma * teacher_logits.detach(), dim=1)
    return kl_mean(F.log_softmax(student_logits, dim=1), log_q)


class TTM(LogitMethod):
    """Match the teacher's probabilities raised to a power, without a temperature of the student."""

    name = "ttm"
    paper = "Zheng, Yang, Knowledge Distillation Based on Transformed Teacher Matching, ICLR 2024"
    terms = {"ce": "task", "ttm": "distill"}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 45.0
    gamma: Positive = 0.1

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        ttm = self.mean_loss(lambda s, t, _: ttm_loss(s, t, self.gamma), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "ttm": self.weight * ttm}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(TTM, revision=1)
