"""Zagoruyko, Komodakis, "Paying More Attention to Attention: Improving the Performance of Convolutional Neural Networks
via Attention Transfer", ICLR 2017, arXiv 1612.03928.

    L = CE(y, z_s) + beta sum_j mean (Q_s^j / ||Q_s^j||_2 - Q_t^j / ||Q_t^j||_2)^2
    Q = sum_c A_c^p, flattened over positions

A: a stage's map [C, H, W]; j: stage; p = 2. The activation-based attention map says where a network looks.

The paper takes |A_c|^p, the norm of the difference and beta / 2; RepDistiller and mdistiller leave out the absolute
value (the same for even p), square the difference, average it over batch and positions, and take beta = 1000: that is
followed here. So are all stages but the stem, and average pooling of the larger map where sizes differ. Stages of
networks of unequal depth, which no standard pair of CIFAR-100 has, are matched from the deep end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl, matched_stages

from ._spatial import pool_to_smaller


def _attention(features: Tensor, p: int) -> Tensor:
    """Q / ||Q||_2 [N, H * W]; the mean over channels stands for the sum, which the norm cancels."""
    return F.normalize(features.pow(p).mean(dim=1).flatten(1), dim=1)


def at_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], p: int = 2) -> Tensor:
    """The attention term summed over stages. Features [N, C, H, W] per stage, any C, H, W; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher in zip(student_features, teacher_features, strict=True):
        student, teacher = pool_to_smaller(student, teacher.detach())
        total = total + F.mse_loss(_attention(student, p), _attention(teacher, p))
    return total


class AT(Method):
    """Match spatial attention maps at every stage."""

    name = "at"
    paper = "Zagoruyko, Komodakis, Paying More Attention to Attention, ICLR 2017"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "at": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1000.0
    power: Annotated[int, Field(ge=1, le=100)] = 2

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        students, teachers = zip(*matched_stages(student.stages, teacher.stages), strict=True)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "at": self.weight * at_loss(students, teachers, self.power),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(AT, revision=1)
