"""Park, Kim, Lu, Cho, "Relational Knowledge Distillation", CVPR 2019, arXiv 1904.05068.

    L = CE(y, z_s) + lambda_D L_D + lambda_A L_A
    L_D = mean_{i,j}   l(psi_D(t_i, t_j), psi_D(s_i, s_j)),              psi_D(a, b) = ||a - b||_2 / mu
    L_A = mean_{i,j,k} l(psi_A(t_i, t_j, t_k), psi_A(s_i, s_j, s_k)),    psi_A(a, b, c) = cosine of the angle at b

s, t: pooled embeddings of student and teacher; mu: the mean distance between two different samples of the batch; l:
Huber's loss.

Means are over all N^2 pairs and N^3 triplets, the degenerate ones with their zeros included, as in the authors' code,
RepDistiller and mdistiller (lambda_D = 25, lambda_A = 50, 1e-12 as the least squared distance). Those select the
distances that mu averages by a mask whose size depends on the data; here zeros on the diagonal are summed and divided
by N (N - 1). Where two samples coincide, theirs divides the gradient of the angle by 1e-12; here that angle is a
constant 0. Theirs builds N^2 differences of D numbers; here distances come from inner products, and angles from
distances by the law of cosines. Samples coincide where their distance is lost in the rounding of these.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl

_LEAST_SQUARE = 1e-12
# A square of a distance below so many units in the last place of what it is the difference of is rounding.
_ROUNDED = 32


def _squares(embedding: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances [N, N], 0 where samples coincide, and where they do not. embedding: [N, D]."""
    centred = embedding - embedding.mean(dim=0)  # distances do not see it, and less cancels out
    products = centred @ centred.T
    own = products.diagonal()
    sums = own.unsqueeze(1) + own
    square = sums - 2 * products
    rounding = _ROUNDED * torch.finfo(sums.dtype).eps * sums.detach()
    apart = square > rounding.clamp(min=_LEAST_SQUARE)
    return torch.where(apart, square, 0), apart


def _relations(embedding: Tensor) -> tuple[Tensor, Tensor]:
    """psi_D [N, N], and psi_A [N, N, N] whose first index is the corner of the angle. embedding: [N, D]."""
    square, apart = _squares(embedding)
    length = torch.where(apart, square, _LEAST_SQUARE).sqrt()

    count = embedding.shape[0]
    off_diagonal = 1 - torch.eye(count, dtype=embedding.dtype, device=embedding.device)
    distance = length * off_diagonal
    mean_distance = distance.sum() / max(count * (count - 1), 1)

    inverse = apart / length
    product = square.unsqueeze(2) + square.unsqueeze(1) - square
    angle = product * (inverse / 2).unsqueeze(2) * inverse.unsqueeze(1)
    return distance / mean_distance.clamp(min=_LEAST_SQUARE), angle


def rkd_loss(
    student_embedding: Tensor, teacher_embedding: Tensor, distance_weight: float, angle_weight: float
) -> Tensor:
    """lambda_D L_D + lambda_A L_A. Embeddings [N, D_s] and [N, D_t]; a scalar."""
    student_distance, student_angle = _relations(student_embedding)
    teacher_distance, teacher_angle = _relations(teacher_embedding.detach())
    distance_loss = F.smooth_l1_loss(student_distance, teacher_distance)
    angle_loss = F.smooth_l1_loss(student_angle, teacher_angle)
    return distance_weight * distance_loss + angle_weight * angle_loss


class RKD(Method):
    """Match distances between samples and angles of triplets."""

    name = "rkd"
    paper = "Park, Kim, Lu, Cho, Relational Knowledge Distillation, CVPR 2019"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "rkd": "distill"}
    mixed_labels = "mix"
    ablations = {"distance_only": {"angle_weight": 0.0}, "angle_only": {"distance_weight": 0.0}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    distance_weight: NotNegative = 25.0
    angle_weight: NotNegative = 50.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        rkd = rkd_loss(student.embedding, teacher.embedding, self.distance_weight, self.angle_weight)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "rkd": self.weight * rkd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(RKD, revision=2)
