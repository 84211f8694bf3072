"""Yun, Park, Lee, Shin, "Regularizing Class-wise Predictions via Self-knowledge Distillation", CVPR 2020, arXiv
2003.13964.

    L = CE(y, z_s(x)) + lambda T^2 KL(softmax(z_s(x') / T) || softmax(z_s(x) / T))

x': another image of the class of x, drawn for each; what the student says of it is a target, through which no gradient
flows. So two images of a class must have like dark knowledge. The divergence is summed over classes and averaged over
the batch.

As in the authors' code x' is run in train mode, by itself: it is normalised by the statistics of its own batch, and
moves the running ones too. That code may draw x itself as its partner, which is not done here. It has T = 4, and
lambda = 1 on CIFAR-100 and TinyImageNet, 3 on fine-grained data.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from .kd import kd_loss


def cskd_loss(student_logits: Tensor, partner_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL(partner || student); no gradient flows into the partner's.

    Logits [N, classes]; a scalar, the mean over the batch.
    """
    return kd_loss(student_logits, partner_logits, temperature)


class CSKD(Method[None]):
    """Match the softened predictions for two images of one class."""

    name = "cskd"
    paper = "Yun, Park, Lee, Shin, Regularizing Class-wise Predictions via Self-knowledge Distillation, CVPR 2020"
    reads = Reads(teachers="none", partners="same_class")
    terms = {"ce": "task", "cskd": "distill"}
    mixed_labels = "refuse"
    regime = "no_teacher"
    weight: NotNegative = 1.0
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        assert batch.partners is not None  # declared
        with torch.no_grad():
            partner = student.model.run(batch.partners)
        return {
            "ce": batch.task_loss(student.logits),
            "cskd": self.weight * cskd_loss(student.logits, partner.logits, self.temperature),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(CSKD, revision=1)
