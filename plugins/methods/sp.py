"""Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019, arXiv 1907.09682.

    L = CE(y, z_s) + gamma / b^2  sum_j || G_t^j - G_s^j ||_F^2
    G[i, :] = Q[i, :] Q^T / || Q[i, :] Q^T ||_2,     Q [b, C * H * W]: a stage's flattened maps

Two images that look alike to the teacher shall look alike to the student; only the b x b matrices are compared, so that
channels and sizes of the maps may differ.

RepDistiller and mdistiller compute the same and use the deepest stage alone, with gamma = 3000: that is followed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl


def _similarities(features: Tensor) -> Tensor:
    """G [N, N]: inner products of the samples' maps, each row of unit length."""
    flat = features.flatten(1)
    return F.normalize(flat @ flat.T, dim=1)


def sp_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """The similarity term without gamma, summed over stages. Features [N, C, H, W] per stage; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher in zip(student_features, teacher_features, strict=True):
        total = total + F.mse_loss(_similarities(student), _similarities(teacher.detach()))
    return total


class SP(Method):
    """Match the similarities between the samples of a batch."""

    name = "sp"
    paper = "Tung, Mori, Similarity-Preserving Knowledge Distillation, ICCV 2019"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "sp": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 3000.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "sp": self.weight * sp_loss(student.stages[-1:], teacher.stages[-1:]),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SP, revision=1)
