"""Miles, Lopez-Rodriguez, Mikolajczyk, "Information Theoretic Representation Distillation", BMVC 2022, arXiv
2112.00459.

    L = CE(y, z_s) + beta_c L_corr + beta_m L_mutual
    L_corr   = log2 sum_d | c_d - 1 |^(2 alpha),     c_d: correlation over the batch of dimension d of W e_s and of e_t
    L_mutual = sum A_s^2 - sum A_st^2,               A_s = G_s / tr G_s,  A_st = G_s o G_t / tr (G_s o G_t)

e_s, e_t: pooled embeddings of student and teacher; W: a trained linear map with bias; G: the Gram matrix [N, N] of rows
of length 1, of W e_s where widths differ and of e_s where they are equal; o: element by element. The second term is the
gap between Renyi's entropies of order two of the student's batch, and of the student's and the teacher's together.

The authors' code is followed, with the weights of its README's command: beta_c = 2, beta_m = 1, alpha = 1.01 (defaults
of its parser: 2, 0.05 and 1.5). Its deviations divide by N - 1 and its correlations by N, so that c_d is (N - 1) / N at
most and the logarithm is finite where the two agree. A dimension that does not vary in a batch divides by zero there;
here its correlation is zero.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl


def _standardised(embedding: Tensor) -> Tensor:
    """Each dimension of mean 0 and deviation 1 over the batch; zeros where it does not vary."""
    centred = embedding - embedding.mean(dim=0)
    variance = centred.square().sum(dim=0) / max(len(embedding) - 1, 1)
    return centred * torch.where(variance > 0, variance, 1).rsqrt()


def itrd_correlation_loss(student_embedding: Tensor, teacher_embedding: Tensor, alpha: float) -> Tensor:
    """L_corr, a scalar. Embeddings [N, D] of equal D, the student's projected."""
    student, teacher = _standardised(student_embedding), _standardised(teacher_embedding.detach())
    correlation = (student * teacher).mean(dim=0)
    return (correlation - 1).square().pow(alpha).sum().log2()


def itrd_mutual_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """L_mutual, a scalar. Embeddings [N, D_s] and [N, D_t]."""
    student, teacher = F.normalize(student_embedding, dim=1), F.normalize(teacher_embedding.detach(), dim=1)
    gram = student @ student.T
    both = gram * (teacher @ teacher.T)
    return (gram / gram.trace()).square().sum() - (both / both.trace()).square().sum()


class ITRD(Method):
    """Match embeddings by their correlation per dimension, and by the entropy of their similarities.

    correlation_weight: beta_c. mutual_weight: beta_m.
    """

    name = "itrd"
    paper = "Miles, Lopez-Rodriguez, Mikolajczyk, Information Theoretic Representation Distillation, BMVC 2022"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "correlation": "distill", "mutual": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    correlation_weight: NotNegative = 2.0
    mutual_weight: NotNegative = 1.0
    alpha: Positive = 1.01

    def build(self, context: BuildContext) -> None:
        student, teacher = context.student.embedding or 0, context.teacher.embedding or 0
        self.projector = nn.Linear(student, teacher)
        self.projects_both = student != teacher

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        projected = self.projector(student.embedding)
        compared = projected if self.projects_both else student.embedding
        correlation = itrd_correlation_loss(projected, teacher.embedding, self.alpha)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "correlation": self.correlation_weight * correlation,
            "mutual": self.mutual_weight * itrd_mutual_loss(compared, teacher.embedding),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(ITRD, revision=1)
