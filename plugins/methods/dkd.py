"""Zhao, Cui, Song, Qiu, Liang, "Decoupled Knowledge Distillation", CVPR 2022, arXiv 2203.08679.

    L_DKD = alpha TCKD + beta NCKD
    TCKD  = KL(b^T || b^S),            b = (p_t, 1 - p_t)
    NCKD  = KL(p_hat^T || p_hat^S),    p_hat_i = p_i / (1 - p_t),  i != t

p: softmax of the logits at temperature T; t: the sample's class. TCKD says how hard a sample is, NCKD ranks the wrong
classes; plain KD is TCKD + (1 - p_t^T) NCKD and so silences NCKD where the teacher is sure. Both are multiplied by T^2,
summed over classes, averaged over the batch.

The authors' code (mdistiller) removes class t by subtracting 1000 from its logit; here it is left out of the sums, in
log space, which gives the same numbers and no log(0) for a sure student. One class is decoupled from the others: of a
mixed image, that with the larger share. The code lets the weight rise from 0 to 1 over the
first 20 of 240 epochs in steps of one epoch, the first at 1/20; here the rise is continuous and starts at 0. It tunes
beta per pair (2, 6 or 8); here 8, and theirs by `--track published`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._classes import decoupled, is_class
from ._divergence import kl_mean
from ._logits import LogitMethod
from ._warmup import warmup


def dkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, alpha: float, beta: float, temperature: float
) -> Tensor:
    """T^2 (alpha TCKD + beta NCKD). Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch."""
    is_target = is_class(targets, student_logits)
    student_binary, student_others = decoupled(student_logits / temperature, is_target)
    teacher_binary, teacher_others = decoupled(teacher_logits.detach() / temperature, is_target)
    tckd = kl_mean(student_binary, teacher_binary)
    # The zeros at the target add exp(0) (0 - 0) = 0.
    nckd = kl_mean(student_others, teacher_others)
    return (alpha * tckd + beta * nckd) * temperature**2


class DKD(LogitMethod):
    """Match the target class and the ranking of the other classes by terms of their own."""

    name = "dkd"
    paper = "Zhao, Cui, Song, Qiu, Liang, Decoupled Knowledge Distillation, CVPR 2022"
    terms = {"ce": "task", "dkd": "distill"}
    by_label = True
    ablations = {"target_only": {"beta": 0.0}, "others_only": {"alpha": 0.0}, "no_warmup": {"warmup_epochs": 0}}
    published = {
        "resnet56:resnet20": {"beta": 2.0},
        "resnet110:resnet32": {"beta": 2.0},
        "vgg13:vgg8": {"beta": 6.0},
        "vgg13:mobilenet_v2": {"beta": 6.0},
        "wrn_40_2:wrn_16_2": {"beta": 6.0},
        "wrn_40_2:wrn_40_1": {"beta": 6.0},
    }
    ce_weight: NotNegative = 1.0
    alpha: NotNegative = 1.0
    beta: NotNegative = 8.0
    temperature: Positive = 4.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 20

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        alpha, beta, temperature = self.alpha, self.beta, self.temperature
        dkd = self.mean_loss(
            lambda s, t, y: dkd_loss(s, t, y, alpha, beta, temperature), batch, student, teacher.logits
        )
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "dkd": warmup(batch.step, self.warmup_epochs) * dkd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DKD, revision=1)
