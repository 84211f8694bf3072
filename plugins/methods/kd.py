"""Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", NIPS Deep Learning Workshop 2014, arXiv
1503.02531.

    L = (1 - a) CE(y, z_s) + a T^2 KL(softmax(z_t / T) || softmax(z_s / T))

z_s, z_t: logits of student and teacher; T: temperature. The factor T^2 keeps the size of the soft gradient when T
changes (section 2 of the paper). The KL divergence is summed over classes and averaged over the batch.

Public implementations agree on the loss; some average over classes too, which makes it smaller by their number.
RepDistiller and mdistiller both take T = 4 with weights 0.1 and 0.9, as here.

Two controls, of no paper, tell what the teacher knows from what soft targets do by themselves. `answers = "shuffled"`:
each image has the answer to another one of the batch. `answers = "untrained"`: a network of the teacher's architecture
answers with the weights that it was made with, in eval mode.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import (
    Batch,
    BuildContext,
    MethodSpec,
    Neutral,
    NotNegative,
    Outputs,
    Positive,
    hookimpl,
    run_frozen,
)

from ._divergence import kl_mean
from ._logits import LogitMethod


def kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor) -> Tensor:
    """T^2 KL(teacher || student) at temperature T. Logits [N, classes]; a scalar, the mean over the batch."""
    log_student = F.log_softmax(student_logits / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    return kl_mean(log_student, log_teacher) * temperature**2


class KD(LogitMethod):
    """Match softened class probabilities."""

    name = "kd"
    paper = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, NIPS Deep Learning Workshop 2014"
    terms = {"ce": "task", "kd": "distill"}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    temperature: Positive = 4.0
    answers: Annotated[Literal["own", "shuffled", "untrained"], Neutral("own")] = "own"

    def build(self, context: BuildContext) -> None:
        if self.answers == "untrained":
            self.newborn = context.peer("untrained", context.teachers[0].name).requires_grad_(False)

    def answer(self, batch: Batch, teacher: Outputs) -> Tensor:
        """The logits [N, classes] that the student is taught by."""
        if self.answers == "untrained":
            return run_frozen(self.newborn, lambda: self.newborn.run(batch.images).logits)
        # Batches are drawn at random, and so is the neighbour in one.
        return teacher.logits.roll(1, dims=0) if self.answers == "shuffled" else teacher.logits

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        answer = self.answer(batch, teacher)
        kd = self.mean_loss(lambda s, t, _: kd_loss(s, t, self.temperature), batch, student, answer)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "kd": self.weight * kd}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(KD, revision=1)
