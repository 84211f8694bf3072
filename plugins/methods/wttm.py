"""Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024, arXiv 2402.11148: the
weighted form.

    L = CE(y, z_s) + beta mean_i U_i KL(q_i || p_s,i),    q_i = p_t^gamma / U_i,    U_i = sum_j p_t,j^gamma

p: softmax of the logits at temperature 1. U, a power sum of the teacher's probabilities, is the larger the flatter they
are: from 1 for a sure teacher to C^(1 - gamma) for one that knows nothing. So samples on which the teacher spreads its
belief count more. The mean is over the batch and not divided by the sum of U.

U grows as gamma falls, and beta must fall with it. The authors tune both per pair in their paper; the defaults are
those of the one example in their code (gamma = 0.2, beta = 4, there beside CRD).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._divergence import kl_each
from ._logits import LogitMethod


def wttm_loss(student_logits: Tensor, teacher_logits: Tensor, gamma: float) -> Tensor:
    """mean_i U_i KL(q_i || p_s,i) without beta. Logits [N, classes]; a scalar."""
    log_power = gamma * F.log_softmax(teacher_logits.detach(), dim=1)
    log_sum = log_power.logsumexp(dim=1, keepdim=True)
    kl = kl_each(F.log_softmax(student_logits, dim=1), log_power - log_sum)
    return (log_sum.squeeze(1).exp() * kl).mean()


class WTTM(LogitMethod):
    """Match the teacher's probabilities raised to a power, flat ones with more weight."""

    name = "wttm"
    paper = "Zheng, Yang, Knowledge Distillation Based on Transformed Teacher Matching, ICLR 2024"
    terms = {"ce": "task", "wttm": "distill"}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 4.0
    gamma: Positive = 0.2

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        wttm = self.mean_loss(lambda s, t, _: wttm_loss(s, t, self.gamma), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "wttm": self.weight * wttm}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(WTTM, revision=1)
