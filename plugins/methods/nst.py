"""Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity Transfer", 2017, arXiv 1707.01219.

    L = CE(y, z_s) + lambda sum_j MMD^2(F_t^j, F_s^j)
    MMD^2 = mean_{c,c'} k(f_t^c, f_t^c') + mean_{c,c'} k(f_s^c, f_s^c') - 2 mean_{c,c'} k(f_t^c, f_s^c')
    k(x, y) = (x . y)^2

f^c: channel c of a stage's map, flattened over its H * W positions and of unit length; k: the paper's polynomial kernel
(d = 2, c = 0). What a channel responds to is a sample of a distribution over positions, and student and teacher shall
have the same one.

RepDistiller and mdistiller build [N, C_s, C_t, H * W] products; here each mean is taken over a matrix of inner
products, which gives the same numbers in a fraction of the memory. Of maps with fewer positions than channels these are
products of positions: with F of rows f^c / sqrt(C), MMD^2 = || F_t^T F_t - F_s^T F_s ||_F^2. As theirs: sum over all
stages, of which the stem is none, larger maps average-pooled, lambda = 50.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl, matched_stages

from ._spatial import pool_to_smaller

# The least squared length of a channel, as of `F.normalize`.
_LEAST_SQUARE = 1e-24


def _own_products(a: Tensor) -> Tensor:
    """a a^T [N, C, C] of a [N, C, D], for sums in which both orders of a pair weigh the same.

    Their gradient is twice that of one factor, which takes one product in place of two.
    """
    half = a @ a.detach().mT
    return 2 * half - half.detach()


def _mean_kernel(products: Tensor, square_a: Tensor, square_b: Tensor) -> Tensor:
    """Mean of k over the batch and all pairs of channels, of their products [N, C, C'] and squared lengths [N, C]."""
    scale_a, scale_b = (square.clamp(min=_LEAST_SQUARE).rsqrt() for square in (square_a, square_b))
    return (products * scale_a.unsqueeze(2) * scale_b.unsqueeze(1)).square().mean()


def _by_channels(s: Tensor, t: Tensor) -> Tensor:
    """MMD^2 of maps [N, C, D]: three matrices of channels, whose diagonals give the lengths."""
    own_s, own_t = _own_products(s), t @ t.mT
    square_s, square_t = (own.diagonal(dim1=1, dim2=2) for own in (own_s, own_t))
    own = _mean_kernel(own_t, square_t, square_t) + _mean_kernel(own_s, square_s, square_s)
    return own - 2 * _mean_kernel(s @ t.mT, square_s, square_t)


def _by_positions(s: Tensor, t: Tensor) -> Tensor:
    """The same by two matrices of positions."""
    columns_s, columns_t = (F.normalize(maps, dim=2).mT / math.sqrt(maps.shape[1]) for maps in (s, t))
    return (columns_t @ columns_t.mT - _own_products(columns_s)).square().sum() / len(s)


def nst_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """MMD^2 summed over stages. Features [N, C, H, W] per stage, any C, H, W; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher in zip(student_features, teacher_features, strict=True):
        student, teacher = pool_to_smaller(student, teacher.detach())
        s, t = student.flatten(2), teacher.flatten(2)
        mmd = _by_positions if 2 * s.shape[2] < s.shape[1] + t.shape[1] else _by_channels
        total = total + mmd(s, t)
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
    yield MethodSpec.of(NST, revision=2)
