"""Tarvainen, Valpola, "Mean teachers are better role models: Weight-averaged consistency targets improve
semi-supervised deep learning results", NIPS 2017, arXiv 1703.01780.

    L = CE(y, z_s(x)) + w r(e) MSE(softmax(z_m(x')), softmax(z_s(x)))
    theta_m <- d theta_m + (1 - d) theta_s                 after each step, d at most 1 - 1 / (step + 1)
    r(e) = exp(-5 (1 - min(e / R, 1))^2)                   e: epochs done

The teacher is the average of the student's own weights over its past steps. Both see a view of their own of each
image, x and x'. The mean squared error is over samples and classes; no gradient flows into the teacher.

As in the authors' PyTorch code the teacher is run in train mode: it is normalised by its batch's statistics, weights
are averaged and running statistics are those of its own passes; early on the average is a true mean. The paper has
images without labels besides, which no recipe here has. Its second output with a cost on the distance of both is not
built. w = 100, R = 5 and d = 0.99 are of that code's CIFAR-10 runs with 4000 labels (d = 0.97 with 1000).

What is evaluated, ranked and deployed is the teacher, as in the paper; the student is an output beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Phase,
    Player,
    Reads,
    StagedModel,
    View,
    hookimpl,
)

from ._rampup import rampup


class TeacherAndStudent(nn.Module):
    """The averaged network and the one that it follows; their logits by name."""

    def __init__(self, averaged: StagedModel, student: StagedModel) -> None:
        super().__init__()
        self.averaged = averaged
        self.student = student

    def networks(self) -> dict[str, nn.Module]:
        """The network behind each output."""
        return {"mean_teacher": self.averaged, "student": self.student}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {name: network(images) for name, network in self.networks().items()}


class MeanTeacher(Method[None]):
    """Agree with the average of one's own weights on another view of the image.

    weight: w. rampup_epochs: R. ema_decay: d.
    """

    name = "mean_teacher"
    paper = "Tarvainen, Valpola, Mean teachers are better role models, NIPS 2017"
    reads = Reads(teachers="none", views=(View("recipe"), View("recipe", student=False)))
    terms = {"ce": "task", "mean_teacher": "distill"}
    mixed_labels = "mix"
    regime = "no_teacher"
    ablations = {"no_rampup": {"rampup_epochs": 0}}
    weight: NotNegative = 100.0
    rampup_epochs: Annotated[int, Field(ge=0)] = 5
    ema_decay: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.99

    def build(self, context: BuildContext) -> None:
        self.averaged = context.peer("mean_teacher").requires_grad_(False)
        self.averaged.load_state_dict(context.student_model.state_dict())
        self.register_buffer("steps", torch.zeros(()))

    def phases(self) -> Sequence[Phase]:
        return [Phase(players=(Player(parts=("student",)),))]

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        with torch.no_grad():
            target = self.averaged.run(batch.views[1]).logits.softmax(dim=1)
        distance = F.mse_loss(student.logits.softmax(dim=1), target)
        return {
            "ce": batch.task_loss(student.logits),
            "mean_teacher": self.weight * rampup(batch.step.epoch, self.rampup_epochs) * distance,
        }

    def after_step(self, batch: Batch, student: Outputs, teacher: None) -> None:
        steps = self.get_buffer("steps")
        steps += 1
        toward = (1 / (steps + 1)).clamp(min=1 - self.ema_decay)
        for average, own in zip(self.averaged.parameters(), student.model.parameters(), strict=True):
            average.lerp_(own, toward)

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> TeacherAndStudent:
        return TeacherAndStudent(self.averaged, student)

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return self.predictor(student, teachers).networks()


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(MeanTeacher, revision=1)
