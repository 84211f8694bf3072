"""Lee, Kim, Song, "Self-supervised Knowledge Distillation Using Singular Value Decomposition", ECCV 2018, arXiv
1807.06819.

    L = CE(y, z_s) + beta / N sum_j sum (R_s^j - R_t^j)^2              summed over the elements of R
    R^j = exp(-(v^j_c - v^(j-1)_c')^2 / 8)                             [C_j, C_(j-1)], for each sample

v^j: the leading right singular vector of a stage's map as a matrix [H W, C], times its share of the k leading singular
values (1 where k = 1); c: channels. R says how a stage's vector depends on the one before. The student's vector is that
one of its k + 3 leading ones which is most like the teacher's, with the teacher's sign.

As in RepDistiller, which ported the authors' TensorFlow code: k = 1, and both vectors times the teacher's share; stages
without the stem; beta = 1. mdistiller decomposes matrices [C H, W] instead, a layout of TensorFlow read as one of
PyTorch, whose vectors are of width: that is not followed. Vectors are compared channel by channel, so that the stages
of both need equal numbers of channels.

Nothing fixes the sign of a singular vector, but R depends on the signs of two neighbouring stages: those of the teacher
are, as there, what the library's decomposition gives, and the loss depends on that library. The student's vectors are
eigenvectors of the smaller Gram matrix of the two, whose gradient leaves out what belongs to equal eigenvalues: it is
finite for dead channels, where that of a decomposition is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl, matched_stages

# How many more vectors of the student than of the teacher are looked at.
SPARE = 3


def _leading(gram: Tensor, k: int) -> Tensor:
    """The k leading eigenvectors [N, D, k] of symmetric matrices [N, D, D].

    dv_i = sum_j v_j (v_j . dG v_i) / (lambda_i - lambda_j), written as a first-order term whose value is 0; without
    the terms of equal eigenvalues.
    """
    ascending, vectors = torch.linalg.eigh(gram.detach())
    values, vectors = ascending.flip(-1), vectors.flip(-1)
    leading = vectors[..., :k]
    gaps = values[:, None, :k] - values[:, :, None]
    apart = gaps.abs() > torch.finfo(gram.dtype).eps * gram.shape[-1] * values[:, :1, None]
    rates = torch.where(apart, 1 / torch.where(apart, gaps, 1), 0)
    change: Tensor = vectors.mT @ ((gram - gram.detach()) @ leading)
    exact: Tensor = leading + vectors @ (rates * change)
    return exact


def _student_vectors(matrix: Tensor, k: int) -> Tensor:
    """The k leading right singular vectors [N, C, k] of matrices [N, H * W, C], in any sign."""
    if matrix.shape[2] <= matrix.shape[1]:
        return _leading(matrix.mT @ matrix, k)
    return F.normalize(matrix.mT @ _leading(matrix @ matrix.mT, k), dim=1)


def _matched(vectors: Tensor, others: Tensor) -> Tensor:
    """Of `vectors` [N, C, m] the one most like each of `others` [N, C, k], with its sign: [N, C, k]."""
    cosines = (vectors.mT @ others).detach()
    best = cosines.abs() == cosines.abs().amax(dim=1, keepdim=True)
    return vectors @ torch.where(best, cosines.sign(), 0)


def _relation(vectors: Tensor, before: Tensor) -> Tensor:
    """R [N, C, C', k] of vectors [N, C, k] and of those of the stage before, [N, C', k]."""
    return torch.exp(-(vectors.unsqueeze(2) - before.unsqueeze(1)).square() / 8)


def kdsvd_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], k: int = 1) -> Tensor:
    """The term of neighbouring stages, summed. Maps [N, C, H, W], shallow to deep, with equal C; a scalar."""
    students, teachers = [], []
    for student, teacher in zip(student_features, teacher_features, strict=True):
        _, values, rows = torch.linalg.svd(teacher.detach().flatten(2).mT, full_matrices=False)
        shares, vectors = F.normalize(values[:, :k], dim=1).unsqueeze(1), rows.mT[..., :k]
        students.append(shares * _matched(_student_vectors(student.flatten(2).mT, k + SPARE), vectors))
        teachers.append(shares * vectors)
    total = student_features[0].new_zeros(())
    for j in range(1, len(students)):
        gap = _relation(students[j], students[j - 1]) - _relation(teachers[j], teachers[j - 1])
        total = total + gap.square().sum()
    return total / len(student_features[0])


class KDSVD(Method):
    """Match how each stage's leading singular vector depends on the one before."""

    name = "kdsvd"
    paper = "Lee, Kim, Song, Self-supervised Knowledge Distillation Using Singular Value Decomposition, ECCV 2018"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "kdsvd": "distill"}
    mixed_labels = "mix"
    # On an accelerator a decomposition waits for whether it converged.
    capturable = False
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    k: Annotated[int, Field(ge=1)] = 1

    def skip(self, context: BuildContext) -> str | None:
        pairs = matched_stages(context.student.stages, context.teacher.stages)
        if len(pairs) < 2:
            return "relates neighbouring stages, of which one network has a single one"
        for student, teacher in pairs:
            if student[0] != teacher[0]:
                sides = f"{student[0]} in a stage of '{context.student.name}', {teacher[0]} in '{context.teacher.name}'"
                return f"compares channels one by one, and there are {sides}"
        return None

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        students, teachers = zip(*matched_stages(student.stages, teacher.stages), strict=True)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kdsvd": self.weight * kdsvd_loss(students, teachers, self.k),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(KDSVD, revision=2)
