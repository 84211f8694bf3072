"""Heo, Lee, Yun, Choi, "Knowledge Transfer via Distillation of Activation Boundaries Formed by Hidden Neurons", AAAI
2019, arXiv 1811.03233.

    init:   L_AB = 3 / (1000 N) sum_j 2^(j - n + 1) sum_i  l(s_i^j, t_i^j)       j = 0 .. n - 1, shallow to deep
            l(s, t) = max(0, mu - s)^2 where t > 0,   max(0, mu + s)^2 elsewhere
    train:  L = CE(y, z_s)

t: a stage of the teacher before its activation; s: r(the student's), r a trained connector; i: neurons and samples; mu:
a margin. What a neuron says is on which side of its boundary an image lies: the student's has to be on the same side,
with a margin, and however far. The loss prepares the student's features; then it is trained on labels.

As in RepDistiller: the factor 3 / 1000; weights that halve from the deepest stage on; a connector is a convolution as
in FitNets with batch normalisation, and nothing where two maps are of equal shape; the student beyond its deepest stage
waits while its features are prepared, for 30 epochs beside the 240 of training, at the recipe's first learning rate.
Stages of networks of unequal depth are matched from the deep end, and a larger map is average-pooled where the
connector leaves the sizes unequal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Phase,
    Positive,
    Reads,
    hookimpl,
    matched_stages,
)

from ._guided import ALL_PARTS, feature_parts, features_first
from ._spatial import pool_to_smaller
from .fitnet import make_regressor


def ab_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], margin: float = 1.0) -> Tensor:
    """L_AB of pre-activations [N, C, H, W] of equal shapes, one of each stage, shallow to deep; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher in zip(student_features, teacher_features, strict=True):
        missing = torch.where(teacher.detach() > 0, margin - student, margin + student).relu()
        # Halved before each deeper stage is added: the deepest one has weight 1.
        total = total / 2 + missing.square().sum()
    return total * (3 / 1000 / len(student_features[0]))


def make_connector(student: tuple[int, ...], teacher: tuple[int, ...]) -> nn.Module:
    """r, from a student's map to a teacher's; shapes (C, H, W)."""
    return nn.Identity() if student == teacher else make_regressor(student, teacher)[:2]


class AB(Method):
    """Give each neuron the teacher's boundary of activation, then train on labels."""

    name = "ab"
    paper = "Heo, Lee, Yun, Choi, Knowledge Transfer via Distillation of Activation Boundaries, AAAI 2019"
    reads = Reads(taps=("pre_activations",))
    terms = {"ce": "task", "ab": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    margin: Positive = 1.0
    init_share: Positive = 0.125

    feature_parts = ALL_PARTS

    def build(self, context: BuildContext) -> None:
        self.feature_parts = feature_parts(context.student_model)
        pairs = matched_stages(context.student.pre_activations, context.teacher.pre_activations)
        self.connectors = nn.ModuleList(make_connector(student, teacher) for student, teacher in pairs)

    def phases(self) -> Sequence[Phase]:
        return features_first([*self.feature_parts, "method"], self.init_share)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        if batch.step.phase == "train":
            return {"ce": self.ce_weight * batch.task_loss(student.logits)}
        pairs = matched_stages(student.pre_activations, teacher.pre_activations)
        connected = [pool_to_smaller(r(s), t) for r, (s, t) in zip(self.connectors, pairs, strict=True)]
        students, teachers = zip(*connected, strict=True)
        return {"ab": self.weight * ab_loss(students, teachers, self.margin)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(AB, revision=1)
