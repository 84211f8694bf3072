"""Lan, Cheung, Xu, Liu, Hu, Li, Chen, "Improve Knowledge Distillation via Label Revision and Data Selection", 2024,
arXiv 2404.03693: label revision.

    where the teacher is right:  L = CE(y, z_s) + lambda_1 MSE(z_s, z_t)
    where it is wrong:           L = lambda_2 MSE(p_s, b p_t + (1 - b) y),    b = eta / (max p_t - p_t,y + 1)

p: softmax of the logits at temperature 1; y: the label, one-hot. b is such that the label has the largest share of the
revised answer. Each term is a mean over its own samples (and classes, for MSE), so that few wrong ones weigh as much as
many right ones; a batch without any has 0 there.

The paper also selects by their influence the samples that the teacher teaches; that is not built. This follows the
baseline of that name in the code of `rld`: lambda_1 = 4, lambda_2 = 1, eta = 0.8, no other loss on labels, so that
wrong samples have none. The recipe's label smoothing does not reach this CE. Of a mixed image y is the label with the
larger share.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, hookimpl

from ._edits import ETA, log_revised


def _mean_where(values: Tensor, is_meant: Tensor) -> Tensor:
    """The mean of values [N] over the samples that are meant (bool [N]), 0 where there are none."""
    return values.where(is_meant, 0).sum() / is_meant.sum().clamp(min=1)


def revision_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    logit_weight: float,
    probability_weight: float,
    eta: float,
) -> Tensor:
    """The loss of right and wrong samples, each with its weight; a scalar.

    Logits [N, classes], targets int64 [N]. logit_weight: lambda_1. probability_weight: lambda_2.
    """
    teacher_logits = teacher_logits.detach()
    is_right = teacher_logits.argmax(dim=1) == targets
    on_label = F.cross_entropy(student_logits, targets, reduction="none")
    on_logits = (student_logits - teacher_logits).square().mean(dim=1)
    revised = log_revised(teacher_logits, targets, eta).exp()
    on_revised = (F.softmax(student_logits, dim=1) - revised).square().mean(dim=1)
    right = _mean_where(on_label + logit_weight * on_logits, is_right)
    return right + probability_weight * _mean_where(on_revised, ~is_right)


class Revision(Method):
    """Match a teacher's logits where it is right, and its answer with the label mixed in where it is wrong."""

    name = "revision"
    paper = "Lan et al., Improve Knowledge Distillation via Label Revision and Data Selection, 2024"
    terms = {"revision": "distill"}
    mixed_labels = "larger"
    logit_weight: NotNegative = 4.0
    probability_weight: NotNegative = 1.0
    eta: Annotated[float, Field(ge=0, lt=1)] = ETA

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        weights = (self.logit_weight, self.probability_weight, self.eta)
        return {"revision": revision_loss(student.logits, teacher.logits, batch.targets, *weights)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Revision, revision=1)
