"""Huang, You, Wang, Qian, Xu, "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, arXiv 2205.10536.

    L = CE(y, z_s) + beta L_inter + gamma L_intra
    L_inter = mean over samples of 1 - rho(p_s[i, :], p_t[i, :])
    L_intra = mean over classes of 1 - rho(p_s[:, j], p_t[:, j])

p: softmax of the logits at temperature T, [N, classes]; rho: Pearson's correlation. The student may be off by a scale
and a shift, which is easier than the exact match that KL asks for when the teacher is much stronger.

The authors' code multiplies both terms by T^2: that is followed here, with its CIFAR recipe (beta = gamma = 2, T = 4).
It adds 1e-8 to the product of norms in rho, which moves gradients by parts in a million; here rho is the plain
correlation.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, hookimpl


def _pearson_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 minus Pearson's correlation of the rows of a and b [rows, columns], averaged over rows."""
    correlation = F.cosine_similarity(a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True), dim=1)
    return 1 - correlation.mean()


def dist_loss(student_logits: Tensor, teacher_logits: Tensor, beta: float, gamma: float, temperature: float) -> Tensor:
    """T^2 (beta L_inter + gamma L_intra). Logits [N, classes]; a scalar."""
    student = F.softmax(student_logits / temperature, dim=1)
    teacher = F.softmax(teacher_logits.detach() / temperature, dim=1)
    inter = _pearson_distance(student, teacher)
    intra = _pearson_distance(student.T, teacher.T)
    return (beta * inter + gamma * intra) * temperature**2


class DIST(Method):
    """Match the correlation of probabilities within samples and within classes."""

    name = "dist"
    paper = "Huang, You, Wang, Qian, Xu, Knowledge Distillation from A Stronger Teacher, NeurIPS 2022"
    terms = {"ce": "task", "dist": "distill"}
    mixed_labels = "mix"
    ablations = {"inter_only": {"gamma": 0.0}, "intra_only": {"beta": 0.0}}
    ce_weight: NotNegative = 1.0
    beta: NotNegative = 2.0
    gamma: NotNegative = 2.0
    temperature: Positive = 4.0

    def skip(self, context: BuildContext) -> str | None:
        if context.num_classes > 2 or self.gamma > 0:
            return None
        return "within a sample the probabilities of two classes correlate by 1 or -1: without gamma they tell nothing"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "dist": dist_loss(student.logits, teacher.logits, self.beta, self.gamma, self.temperature),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DIST, revision=1)
