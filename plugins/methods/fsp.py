"""Yim, Joo, Bae, Kim, "A Gift from Knowledge Distillation: Fast Optimization, Network Minimization and Transfer
Learning", CVPR 2017.

    init:   L_FSP = sum_k mean (G_s^k - G_t^k)^2
            G^k = 1 / (H W) sum_hw F^(k+1)_hw (F^k_hw)^T               [C_(k+1), C_k], for each sample
    train:  L = CE(y, z_s)

F^0, F^1, ...: the maps of the stem and of the stages; a larger one is average-pooled to the size of its neighbour. The
matrix says how features flow from one stage to the next (flow of solution procedure), and the student learns that
before it learns labels.

As in RepDistiller: the student beyond its deepest stage waits while its features are prepared, for 30 epochs beside the
240 of training, at the recipe's first learning rate; the loss is a mean over the matrix and the batch, all stages count
alike, and its weight is 1. (Its scripts ask for a weight of 50, which is that of the second phase, where the loss is
none.) Matrices are compared as they are, so that student and teacher need equal numbers of channels, and of stages. The
paper too trains in two phases; `when = "beside"` adds the loss to the cross-entropy in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    ModelShape,
    NotNegative,
    Outputs,
    Phase,
    Positive,
    Reads,
    hookimpl,
)

from ._guided import ALL_PARTS, feature_parts, features_first
from ._spatial import pool_to_smaller


def _flow(lower: Tensor, upper: Tensor) -> Tensor:
    """G [N, C_upper, C_lower] of maps [N, C, H, W] of two neighbouring stages."""
    lower, upper = pool_to_smaller(lower, upper)
    return upper.flatten(2) @ lower.flatten(2).mT / (lower.shape[2] * lower.shape[3])


def fsp_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """L_FSP of maps [N, C, H, W], shallow to deep, with equal C in student and teacher; a scalar."""
    total = student_features[0].new_zeros(())
    for k in range(len(student_features) - 1):
        student = _flow(*student_features[k : k + 2])
        teacher = _flow(*teacher_features[k : k + 2]).detach()
        total = total + F.mse_loss(student, teacher)
    return total


def _channels(model: ModelShape) -> list[int]:
    return [shape[0] for shape in (*([model.stem] if model.stem else []), *model.stages)]


class FSP(Method):
    """Match how features flow from stage to stage, then train on labels."""

    name = "fsp"
    paper = "Yim, Joo, Bae, Kim, A Gift from Knowledge Distillation, CVPR 2017"
    reads = Reads(taps=("stem", "stages"))
    terms = {"ce": "task", "fsp": "distill"}
    mixed_labels = "mix"
    ablations = {"beside": {"when": "beside"}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    when: Literal["before", "beside"] = "before"
    init_share: Positive = 0.125

    feature_parts = ALL_PARTS

    def skip(self, context: BuildContext) -> str | None:
        student, teacher = _channels(context.student), _channels(context.teacher)
        if student == teacher:
            return None
        return (
            f"compares channels one by one: '{context.student.name}' has {', '.join(map(str, student))} from the stem"
            f" on, '{context.teacher.name}' {', '.join(map(str, teacher))}"
        )

    def build(self, context: BuildContext) -> None:
        self.feature_parts = feature_parts(context.student_model)

    def phases(self) -> Sequence[Phase]:
        return [Phase()] if self.when == "beside" else features_first(self.feature_parts, self.init_share)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if batch.step.phase == "train":
            losses["ce"] = self.ce_weight * batch.task_loss(student.logits)
        if batch.step.phase == "init" or self.when == "beside":
            maps = [[outputs.stem, *outputs.stages] for outputs in (student, teacher)]
            losses["fsp"] = self.weight * fsp_loss(*maps)
        return losses


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(FSP, revision=1)
