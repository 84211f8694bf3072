"""Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv 1412.6550.

    L = CE(y, z_s) + beta || r(f_s) - f_t ||^2          averaged over all elements

f_s, f_t: a middle stage of student (guided layer) and teacher (hint); r: a trained convolutional regressor.

The paper first trains the student up to the guided layer on the hint alone and then distils with KD. RepDistiller and
mdistiller add the hint to CE in one stage, without KD, with batch normalisation and ReLU after the regressor's
convolution: that is followed here, with their weight of 100 and their hint layer (the second stage after the stem; a
VGG's stem is its first block). The convolution too is theirs: 1x1 between maps of equal size, 3x3 with stride 2 where
the student's is twice as large, transposed 4x4 with stride 2 where it is half as large: so it is on all thirteen
standard pairs of CIFAR-100. For other sizes they take a kernel as large as the difference, or none; here the larger map
is average-pooled to the smaller.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl

from ._spatial import pool_to_smaller


def make_regressor(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Sequential:
    """r, from a student's map to a teacher's; shapes (C, H, W)."""
    convolution: nn.Module
    if student[1:] == (2 * teacher[1], 2 * teacher[2]):
        convolution = nn.Conv2d(student[0], teacher[0], kernel_size=3, stride=2, padding=1)
    elif teacher[1:] == (2 * student[1], 2 * student[2]):
        convolution = nn.ConvTranspose2d(student[0], teacher[0], kernel_size=4, stride=2, padding=1)
    else:
        convolution = nn.Conv2d(student[0], teacher[0], kernel_size=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(teacher[0]), nn.ReLU())


class FitNet(Method):
    """Regress a middle stage of the teacher from the student's."""

    name = "fitnet"
    paper = "Romero, Ballas, Kahou, Chassang, Gatta, Bengio, FitNets: Hints for Thin Deep Nets, ICLR 2015"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "hint": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 100.0
    hint_stage: int = 1

    def skip(self, context: BuildContext) -> str | None:
        for model in (context.student, context.teacher):
            if not 0 <= self.hint_stage < len(model.stages):
                return f"hint_stage is {self.hint_stage}, but '{model.name}' has stages 0 to {len(model.stages) - 1}"
        return None

    def build(self, context: BuildContext) -> None:
        self.regressor = make_regressor(
            context.student.stages[self.hint_stage], context.teacher.stages[self.hint_stage]
        )

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        guided, hint = pool_to_smaller(self.regressor(student.stages[self.hint_stage]), teacher.stages[self.hint_stage])
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "hint": self.weight * F.mse_loss(guided, hint),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(FitNet, revision=1)
