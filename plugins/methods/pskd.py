"""Kim, Ji, Yoon, Hwang, "Self-Knowledge Distillation with Progressive Refinement of Targets", ICCV 2021, arXiv
2006.12000.

    L = CE((1 - a_t) y + a_t p_(t-1), z_s)            a_t = a_T t / E

p_(t-1): what the student predicted for the image in the epoch before; t: the epoch, from 1 to E. The targets grow from
labels to mostly one's own past as the student becomes worth listening to.

The paper would run the network of the last epoch beside the present one, or keep what it said. As in the authors' code
the softmax that came of the image in training is kept, in its view of that epoch and before that step's update, for
every image: samples x classes numbers, 20 MB on CIFAR-100. In the first epoch there is none, and the target is the
label. The cross-entropy is written as its two parts, so that labels are read by the recipe's own loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, Outputs, Reads, hookimpl


def pskd_target(targets: Tensor, previous_probabilities: Tensor, alpha: float) -> Tensor:
    """(1 - a) y + a p, [N, classes]. targets: int64 [N]; previous_probabilities: [N, classes]."""
    is_target = targets.unsqueeze(1) == torch.arange(previous_probabilities.shape[1], device=targets.device)
    return (1 - alpha) * is_target.to(previous_probabilities.dtype) + alpha * previous_probabilities


def pskd_loss(student_logits: Tensor, previous_probabilities: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """CE(pskd_target, z).

    Logits and probabilities [N, classes], targets int64 [N]; a scalar, the mean over the batch.
    """
    soft = pskd_target(targets, previous_probabilities.detach(), alpha)
    return -(soft * student_logits.log_softmax(dim=1)).sum(dim=1).mean()


class PSKD(Method[None]):
    """Learn from labels mixed with what the student predicted an epoch ago.

    alpha: a_T, the share that the past has in the last epoch.
    """

    name = "pskd"
    paper = "Kim, Ji, Yoon, Hwang, Self-Knowledge Distillation with Progressive Refinement of Targets, ICCV 2021"
    reads = Reads(teachers="none", indices=True)
    terms = {"ce": "task", "pskd": "distill"}
    # A past prediction is of one image.
    mixed_labels = "refuse"
    regime = "no_teacher"
    alpha: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.8

    def build(self, context: BuildContext) -> None:
        labels = context.targets
        certain = torch.zeros(len(labels), context.num_classes, device=labels.device)
        self.register_buffer("previous", certain.scatter_(1, labels.unsqueeze(1), 1.0))

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        share = self.alpha * (batch.step.epoch + 1) / batch.step.epochs
        past = self.get_buffer("previous")[batch.indices]
        return {
            "ce": (1 - share) * batch.task_loss(student.logits),
            "pskd": share * pskd_loss(student.logits, past, batch.targets, alpha=1.0),
        }

    def after_step(self, batch: Batch, student: Outputs, teacher: None) -> None:
        self.get_buffer("previous")[batch.indices] = student.logits.softmax(dim=1)


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(PSKD, revision=1)
