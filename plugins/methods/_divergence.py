"""The Kullback-Leibler divergence of class probabilities, given as logarithms."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def kl_each(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """KL(teacher || student) of each sample, [N]. Log probabilities [N, classes]."""
    return (log_teacher.exp() * (log_teacher - log_student)).sum(dim=1)


def kl_mean(log_student: Tensor, log_teacher: Tensor) -> Tensor:
    """Its mean over the batch, a scalar, in fewer operations."""
    # Of one sample it is written out: torch has no rule for its own operator when a loss is mapped over samples.
    if log_student.shape[0] == 1:
        return kl_each(log_student, log_teacher).sum()
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
