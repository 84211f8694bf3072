"""Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, arXiv 1707.01219.

    L = CE(y, z_s) + lambda sum_j MMD^2(F_t^j, F_s^j)
    MMD^2 = mean_{c,c'} k(f_t^c, f_t^c') + mean_{c,c'} k(f_s^c, f_s^c') - 2 mean_{c,c'} k(f_t^c, f_s^c')
    k(x, y) = (x . y)^2

f^c: channel c of a stage's map, flattened over its H * W positions and of unit length; k: the paper's polynomial kernel
(d = 2, c = 0). What a channel responds to is a sample of a distribution over positions, and student and teacher shall
have the same one.

RepDistiller and mdistiller build [N, C_s, C_t, H * W] products; here each mean is taken over a matrix of inner
products, which gives the same numbers in a fraction of the memory. As theirs: sum over all stages, of which the stem is
none, larger maps average-pooled, lambda = 50.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl, matched_stages

from ._spatial import pool_to_smaller


def _mean_kernel(a: Tensor, b: Tensor) -> Tensor:
    """Mean of k over the batch and all pairs of channels of a [N, C, D] and b [N, C', D]."""
    return (a @ b.transpose(1, 2)).square().mean()


def nst_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """MMD^2 summed over stages. Features [N, C, H, W] per stage, any C, H, W; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher in zip(student_features, teacher_features, strict=True):
        student, teacher = pool_to_smaller(student, teacher.detach())
        s = F.normalize(student.flatten(2), dim=2)
        t = F.normalize(teacher.flatten(2), dim=2)
        total = total + _mean_kernel(t, t) + _mean_kernel(s, s) - 2 * _mean_kernel(s, t)
    return total


class NST(Method):
    """Match the distribution of channel activations at every stage."""

    name = "nst"
    paper = "Huang, Wang, Like What You Like: Knowledge Distill via Neuron Selectivity Transfer, arXiv 1707.01219, 2017"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "nst": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 50.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        students, teachers = zip(*matched_stages(student.stages, teacher.stages), strict=True)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "nst": self.weight * nst_loss(students, teachers),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(NST, revision=1)
