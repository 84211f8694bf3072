"""Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge Transfer", ECCV 2018, arXiv 1803.10837.

    L = CE(y, z_s) + beta mean_{i,j} p_{j|i} log(p_{j|i} / q_{j|i})
    p_{j|i} = K(t_i, t_j) / sum_k K(t_i, t_k),     q_{j|i} the same of s,     K(a, b) = (cos(a, b) + 1) / 2

s, t: pooled embeddings of student and teacher. The probability that sample i has j for a neighbour is to be the same in
both spaces.

The paper leaves out k = i and sums; the authors' code, RepDistiller and mdistiller keep the diagonal, average over all
N^2 entries and add 1e-7 to norms and inside the logarithm: that is followed here, with the beta = 30000 of the latter
two.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.linalg import vector_norm

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl


def _neighbour_probabilities(embedding: Tensor, eps: float) -> Tensor:
    """p_{j|i} [N, N], rows summing to 1. A zero embedding has cosine 0 with all."""
    unit: Tensor = embedding / (vector_norm(embedding, dim=1, keepdim=True) + eps)
    kernel = (unit @ unit.T + 1) / 2
    return kernel / kernel.sum(dim=1, keepdim=True)


def pkt_loss(student_embedding: Tensor, teacher_embedding: Tensor, eps: float = 1e-7) -> Tensor:
    """The divergence without beta. Embeddings [N, D_s] and [N, D_t]; a scalar, the mean over N^2 entries."""
    student = _neighbour_probabilities(student_embedding, eps)
    teacher = _neighbour_probabilities(teacher_embedding.detach(), eps)
    return (teacher * ((teacher + eps) / (student + eps)).log()).mean()


class PKT(Method):
    """Match the probabilities of samples being neighbours."""

    name = "pkt"
    paper = "Passalis, Tefas, Learning Deep Representations with Probabilistic Knowledge Transfer, ECCV 2018"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "pkt": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 30000.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "pkt": self.weight * pkt_loss(student.embedding, teacher.embedding),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(PKT, revision=1)
