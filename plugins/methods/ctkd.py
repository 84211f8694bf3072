"""Li, Li, Yang, Zhao, Song, Luo, Li, Yang, "Curriculum Temperature for Knowledge Distillation", AAAI 2023, arXiv
2211.16231.

    L = (1 - a) CE(y, z_s) + a T^2 KL(softmax(z_t / T) || softmax(z_s / T)),    T = start + span sigmoid(theta)

theta is one trained number, the global temperature of the paper. The student descends on L; theta, whose gradient is
reversed, ascends: it looks for the temperature at which the student is furthest from the teacher. The reversed gradient
is multiplied by lambda, which rises from 0 to 1 as (1 - cos(pi e / E)) / 2 over the first E = 10 epochs, e = 1 in the
first one, and stays at 1.

As in the authors' code T and its square both carry gradient, theta starts at 1 (so that T starts at 15.6, not at 1),
start = 1 and span = 20, and theta is among the student's parameters: it has their learning rate and weight decay. The
temperature of each instance, by a small network, is not built: the authors' repository does not hold that network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    MethodSpec,
    NotNegative,
    Outputs,
    Positive,
    StepInfo,
    hookimpl,
    reverse_gradient,
)

from ._logits import LogitMethod
from .kd import kd_loss


def adversarial_temperature(theta: Tensor, start: float, span: float, strength: Tensor | float) -> Tensor:
    """T, a scalar, whose gradient reaches theta [1] multiplied by -strength."""
    return start + span * reverse_gradient(theta, strength).sigmoid().squeeze(0)


def ctkd_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_theta: Tensor,
    start: float,
    span: float,
    strength: Tensor | float,
) -> Tensor:
    """T^2 KL(teacher || student) at the trained temperature. Logits [N, classes], theta [1]; a scalar.

    strength: lambda; the gradient to theta is multiplied by -lambda.
    """
    return kd_loss(student_logits, teacher_logits, adversarial_temperature(student_theta, start, span, strength))


def reversal(step: StepInfo, epochs: int) -> Tensor | float:
    """lambda at this step: a tensor, so that a captured step sees it change."""
    if epochs == 0:
        return 1.0
    return (1 - (math.pi * ((step.epoch + 1) / epochs).clamp(max=1)).cos()) / 2


class CTKD(LogitMethod):
    """Match softened class probabilities at a temperature that is trained against the student."""

    name = "ctkd"
    paper = "Li, Li, Yang, Zhao, Song, Luo, Li, Yang, Curriculum Temperature for Knowledge Distillation, AAAI 2023"
    terms = {"ce": "task", "ctkd": "distill"}
    ablations = {"no_curriculum": {"ramp_epochs": 0}}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    start: Positive = 1.0
    span: NotNegative = 20.0
    ramp_epochs: Annotated[int, Field(ge=0)] = 10

    def build(self, context: BuildContext) -> None:
        self.theta = nn.Parameter(torch.ones(1))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        strength = reversal(batch.step, self.ramp_epochs)
        temperature = adversarial_temperature(self.theta, self.start, self.span, strength)
        ctkd = self.mean_loss(lambda s, t, _: kd_loss(s, t, temperature), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "ctkd": self.weight * ctkd}

    def curves(self) -> Mapping[str, float]:
        return {"temperature": self.start + self.span * self.theta.detach().sigmoid().item()}

    def measurements(self) -> Mapping[str, float]:
        return self.curves()


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(CTKD, revision=1)
