"""Su, Tseng, Pu, Zhao, Yang, Chen, Lee, "EA-KD: Entropy-based Adaptive Knowledge Distillation", ICCV 2025, arXiv
2311.13621.

    L = lambda_CE CE(y, z_s) + lambda_KD mean_i w_i T^2 KL(softmax(z_t,i / T) || softmax(z_s,i / T))
    w = (H_t + H_t H_s / ln C) / 2

H: entropy of a network's softened probabilities, at a temperature of its own; C: how many classes. Samples on which the
teacher hesitates teach most, the more so where the student hesitates too. No gradient flows through w.

This is `kd` with its parameter weighting = "entropy", which goes with every other loss of logits too. ln C is the
largest entropy there is. The authors' code has it so for ImageNet, and 100 in its place for CIFAR-100, which all but
takes the student out of w; ln C is followed. KD's weights and T = 4 and the weight's temperature of 3 are theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._divergence import kl_each
from ._logits import eakd_weight


def eakd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float, weight_temperature: float) -> Tensor:
    """mean_i w_i T^2 KL(teacher || student). Logits [N, classes]; a scalar."""
    log_student = F.log_softmax(student_logits / temperature, dim=1)
    log_teacher = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    weights = eakd_weight(student_logits, teacher_logits, weight_temperature)
    return temperature**2 * (weights * kl_each(log_student, log_teacher)).mean()


class EAKD(Method):
    """Match softened class probabilities, a sample with the more weight the less sure the networks are of it."""

    name = "eakd"
    paper = "Su, Tseng, Pu, Zhao, Yang, Chen, Lee, EA-KD: Entropy-based Adaptive Knowledge Distillation, ICCV 2025"
    terms = {"ce": "task", "eakd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    temperature: Positive = 4.0
    weight_temperature: Positive = 3.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        eakd = eakd_loss(student.logits, teacher.logits, self.temperature, self.weight_temperature)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "eakd": self.weight * eakd}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(EAKD, revision=1)
