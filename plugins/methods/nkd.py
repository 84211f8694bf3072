"""Yang, Zeng, Li, Zhang, Yuan, Li, "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with
Normalized Loss and Customized Soft Labels", ICCV 2023, arXiv 2303.13005.

    L = CE(y, z_s) - p_t,y log p_s,y - gamma tau^2 sum_(i != y) p_hat_t,i log p_hat_s,i

p: softmax of the logits at temperature 1; p_hat: softmax of the logits of the classes other than y, at temperature tau.
KD's sum over the other classes compares probabilities that do not add up to the same; normalised, they do.

Both terms are cross-entropies: where the student equals the teacher they are at their smallest, not at 0. The label's
class is left out of the sums in log space, not set to a low logit. One class is normalised against the others: of a
mixed image, that with the larger share. The authors' code (cls_KD) has gamma = 3.5 and tau = 3 for CIFAR-100, followed
here, and 1.5 and 1 for ImageNet.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._classes import decoupled, is_class
from ._logits import LogitMethod


def target_cross_entropy(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """-p_t,y log p_s,y at temperature 1, [N]. Logits [N, classes], targets int64 [N]."""
    place = targets.unsqueeze(1)
    p = F.softmax(teacher_logits.detach(), dim=1).gather(1, place)
    return -(p * F.log_softmax(student_logits, dim=1).gather(1, place)).squeeze(1)


def nkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, gamma: float, temperature: float
) -> Tensor:
    """Both terms. Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch."""
    is_target = is_class(targets, student_logits)
    _, student_others = decoupled(student_logits / temperature, is_target)
    _, teacher_others = decoupled(teacher_logits.detach() / temperature, is_target)
    # The student's zeros at the target add nothing.
    others = -(teacher_others.exp() * student_others).sum(dim=1)
    own = target_cross_entropy(student_logits, teacher_logits, targets)
    return (own + gamma * temperature**2 * others).mean()


class NKD(LogitMethod):
    """Match the label's probability, and the probabilities of the other classes after normalising them."""

    name = "nkd"
    paper = "Yang, Zeng, Li, Zhang, Yuan, Li, From Knowledge Distillation to Self-Knowledge Distillation, ICCV 2023"
    terms = {"ce": "task", "nkd": "distill"}
    by_label = True
    ablations = {"target_only": {"gamma": 0.0}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    gamma: NotNegative = 3.5
    temperature: Positive = 3.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        gamma, temperature = self.gamma, self.temperature
        nkd = self.mean_loss(lambda s, t, y: nkd_loss(s, t, y, gamma, temperature), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "nkd": self.weight * nkd}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(NKD, revision=1)
