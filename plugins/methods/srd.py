"""Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge Distillation", AAAI 2024, arXiv 2303.11098.

    L = CE(y, z_s) + KL(p_t || p_s) + lambda log sum_i sum_d | BN(W e_s)_id - BN(e_t)_id |^4

e_s, e_t: pooled embeddings of student and teacher; W: a trained linear map with bias; BN: by the batch's statistics,
without weight and bias; p: softmax at temperature 1. The linear projector stores what former batches told of the
relation of the two; the norm before the comparison decides what it learns, and the logarithm of a sum of fourth powers
softens the large gap between a small student and its teacher.

The authors' ImageNet code for ResNets is followed: lambda = 2, variances with 1e-4 added. Their code for DeiT takes the
fourth power of correlations instead. Equal embeddings would have the logarithm of zero: the least normal number is
added to the sum, which changes no other value.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from .kd import kd_loss


def srd_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """log of the sum of fourth powers of differences, a scalar. Embeddings [N, D] that are normalised already."""
    total = (student_embedding - teacher_embedding.detach()).pow(4).sum()
    return (total + torch.finfo(total.dtype).tiny).log()


def srd_projected_loss(student_embedding: Tensor, teacher_embedding: Tensor, eps: float) -> Tensor:
    """The same of embeddings [N, D] that are batch-normalised here, the student's projected."""
    student = F.batch_norm(student_embedding, None, None, training=True, eps=eps)
    teacher = F.batch_norm(teacher_embedding, None, None, training=True, eps=eps)
    return srd_loss(student, teacher)


class SRD(Method):
    """Match batch-normalised embeddings through a linear projector by a log-sum of fourth powers, and soft targets."""

    name = "srd"
    paper = "Miles, Mikolajczyk, Understanding the Role of the Projector in Knowledge Distillation, AAAI 2024"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "kd": "distill", "srd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 1.0
    temperature: Positive = 1.0
    weight: NotNegative = 2.0
    eps: Positive = 1e-4

    def build(self, context: BuildContext) -> None:
        self.projector = nn.Linear(context.student.embedding or 0, context.teacher.embedding or 0)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        srd = srd_projected_loss(self.projector(student.embedding), teacher.embedding, self.eps)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * kd_loss(student.logits, teacher.logits, self.temperature),
            "srd": self.weight * srd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SRD, revision=1)
