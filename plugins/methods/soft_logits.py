"""Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014, arXiv 1312.6184.

    L = lambda_CE CE(y, z_s) + lambda mean (z_s - z_t)^2

The student regresses the teacher's logits. Hinton et al. show it to be KD's limit at high temperature (section 2 of
their paper): T^2 KL tends to the squared distance of logits, centred per sample, over 2 C. So this is about twice
`kd` at a high temperature, but for a shift of all logits, of which `kd` takes no notice and this does.

The paper has no labels, halves the square and sums over classes. Here the mean is over samples and classes, and weights
are those of `kd`, for want of published ones beside labels; --set soft_logits.without=ce is the paper's.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, hookimpl

from ._logits import LogitMethod


def ba_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Squared difference of logits [N, classes]; a scalar, the mean over samples and classes."""
    return F.mse_loss(student_logits, teacher_logits.detach())


class SoftLogits(LogitMethod):
    """Regress the teacher's logits."""

    name = "soft_logits"
    paper = "Ba, Caruana, Do Deep Nets Really Need to be Deep?, NIPS 2014"
    terms = {"ce": "task", "soft_logits": "distill"}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        distance = self.mean_loss(lambda s, t, _: ba_loss(s, t), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "soft_logits": self.weight * distance}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SoftLogits, revision=1)
