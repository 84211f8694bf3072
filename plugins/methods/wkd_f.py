"""Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS 2024,
arXiv 2412.08139: WKD-F, the one on features.

    L = CE(y, z_s) + lambda(e) W,      W = sum_c  gamma (mu_c(u) - mu_c(f_t))^2 + (sigma_c(u) - sigma_c(f_t))^2
    u = ReLU(BN(W f_s)),      lambda(e) = lambda  up to epoch 150 of 240, then by a cosine to 0

f_s, f_t: the deepest maps; mu_c, sigma_c: mean and standard deviation of a channel's values over places. A channel is a
Gaussian, and W the squared Wasserstein distance of the two, its means weighted by gamma. Averaged over the batch. With
`grid` g > 1 there is a Gaussian for each of g x g parts of the map, and W is their mean.

The authors' CIFAR-100 code is followed: sigma = sqrt(variance with n - 1 + 1e-5); the regressor is a 1x1 convolution,
one of stride 2 where the student's map is twice as large, a transposed one where it is half as large. For other sizes,
which their experiments have not, the larger map is average-pooled. The cosine steps once an epoch, as theirs; its start
is a share of the training. Their settings differ by pair; the defaults are those of resnet32x4 to resnet8x4. A part of
one place has no deviation: it is then sqrt(1e-5) for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from ._decay import cosine_decay
from ._spatial import pool_to_smaller, windows
from .fitnet import make_regressor


def _moments(feature: Tensor, eps: float, grid: int) -> tuple[Tensor, Tensor]:
    """Means and deviations [N, C, grid^2] of the parts of maps [N, C, H, W]."""
    height, width = feature.shape[2:]
    columns = windows(width, grid)
    parts = [
        feature[:, :, top:bottom, left:right].flatten(2)
        for top, bottom in windows(height, grid)
        for left, right in columns
    ]
    means = torch.stack([part.mean(dim=2) for part in parts], dim=2)
    variances = torch.stack([part.var(dim=2, correction=min(1, part.shape[2] - 1)) for part in parts], dim=2)
    return means, (variances + eps).sqrt()


def wkd_f_loss(
    student_feature: Tensor, teacher_feature: Tensor, mean_weight: float, eps: float = 1e-5, grid: int = 1
) -> Tensor:
    """W, the mean over batch and parts. Maps [N, C, H, W], of H and W each its own; mean_weight: gamma; a scalar."""
    mean, deviation = _moments(student_feature, eps, grid)
    teacher_mean, teacher_deviation = _moments(teacher_feature.detach(), eps, grid)
    squares = mean_weight * (mean - teacher_mean).square() + (deviation - teacher_deviation).square()
    return squares.sum() / (squares.shape[0] * grid**2)


class WKDF(Method):
    """Match mean and deviation of every channel of the deepest map."""

    name = "wkd_f"
    paper = (
        "Lv, Yang, Li, Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation, NeurIPS 2024"
    )
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "wkd_f": "distill"}
    mixed_labels = "mix"
    ablations = {"no_decay": {"decay_start": 1.0}}
    published = {"wrn_40_2:shuffle_v1": {"weight": 0.3, "mean_weight": 3.0, "grid": 4}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 0.08
    mean_weight: NotNegative = 4.0
    grid: Annotated[int, Field(ge=1, le=64)] = 1
    eps: Positive = 1e-5
    decay_start: Annotated[float, Field(ge=0, le=1)] = 0.625

    def build(self, context: BuildContext) -> None:
        self.regressor = make_regressor(context.student.stages[-1], context.teacher.stages[-1])

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        source, target = pool_to_smaller(self.regressor(student.maps(-1)), teacher.maps(-1))
        wkd_f = wkd_f_loss(source, target, self.mean_weight, self.eps, self.grid)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "wkd_f": self.weight * cosine_decay(batch.step, self.decay_start) * wkd_f,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(WKDF, revision=2)
