"""Ahn, Hu, Damianou, Lawrence, Dai, "Variational Information Distillation for Knowledge Transfer", CVPR 2019, arXiv
1904.05835.

    L = CE(y, z_s) + lambda sum_k -log q(t^k | s^k)
    -log q(t | s) = mean over channels c and positions of  log sigma_c + (t_c - mu_c(s))^2 / (2 sigma_c^2)  + constant
    sigma_c^2 = log(1 + exp(alpha_c)) + eps

s^k, t^k: maps of stage k; mu: a regressor of three 1x1 convolutions; sigma_c: a deviation per channel of the teacher.
Maximising q, a bound on the mutual information of s and t, lets the student give up channels that it cannot predict, by
a large sigma_c.

The paper sums where RepDistiller and mdistiller average; both leave out the constant, start from sigma^2 = 5 and use
all stages, of which the stem is none: that is followed here. mdistiller never gives alpha to its optimiser, which turns
VID into a mean squared error; RepDistiller trains it, and so does this. The larger map is average-pooled where sizes
differ. Stages of networks of unequal depth are matched from the deep end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Positive,
    Reads,
    hookimpl,
    matched_stages,
)

from ._spatial import pool_to_smaller


def vid_loss(student_mean: Tensor, student_log_scale: Tensor, teacher_feature: Tensor, eps: float = 1e-5) -> Tensor:
    """-log q(t | s) of one stage, a scalar.

    student_mean (mu) and teacher_feature: [N, C, H, W]; student_log_scale (alpha): [C].
    """
    variance = (F.softplus(student_log_scale) + eps).reshape(1, -1, 1, 1)
    square = (student_mean - teacher_feature.detach()).square()
    return 0.5 * (square / variance + variance.log()).mean()


def make_regressor(student_channels: int, teacher_channels: int) -> nn.Sequential:
    """mu, from a student's map to a teacher's of the same size."""
    return nn.Sequential(
        nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(teacher_channels, teacher_channels, kernel_size=1, bias=False),
        nn.ReLU(),
        nn.Conv2d(teacher_channels, teacher_channels, kernel_size=1, bias=False),
    )


class VID(Method):
    """Predict the teacher's stages from the student's, each channel with a trained variance."""

    name = "vid"
    paper = "Ahn, Hu, Damianou, Lawrence, Dai, Variational Information Distillation for Knowledge Transfer, CVPR 2019"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "vid": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    initial_variance: Positive = 5.0
    eps: Positive = 1e-5

    def build(self, context: BuildContext) -> None:
        pairs = matched_stages(context.student.stages, context.teacher.stages)
        alpha = math.log(math.expm1(self.initial_variance - self.eps))
        self.regressors = nn.ModuleList(make_regressor(student[0], teacher[0]) for student, teacher in pairs)
        self.log_scales = nn.ParameterList(torch.full((teacher[0],), alpha) for _, teacher in pairs)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        vid = student.logits.new_zeros(())
        pairs = matched_stages(student.stages, teacher.stages)
        for regressor, log_scale, pair in zip(self.regressors, self.log_scales, pairs, strict=True):
            source, target = pool_to_smaller(*pair)
            vid = vid + vid_loss(regressor(source), log_scale, target, self.eps)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "vid": self.weight * vid,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(VID, revision=1)
