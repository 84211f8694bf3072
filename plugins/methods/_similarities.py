"""Similarities of aligned vectors [N, d] of student and teacher, as MEAL's code has them (see `meal`): scalars."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """-sum_c softmax(teacher)_c log softmax(student)_c, the mean over the batch. Both [N, d]."""
    return -(teacher.softmax(1) * student.log_softmax(1)).sum(1).mean()


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(softmax(teacher) || softmax(student)), the mean over the batch. Both [N, d]."""
    return F.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce": soft_cross_entropy,
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "l1_soft": lambda student, teacher: F.l1_loss(student.softmax(1), teacher.softmax(1)),
    "l2_soft": lambda student, teacher: F.mse_loss(student.softmax(1), teacher.softmax(1)),
    "kl": divergence,
}
