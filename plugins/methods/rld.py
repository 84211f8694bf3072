"""Sun, Chen, Lyu, Chen, Chen, Wang, "Knowledge Distillation with Refined Logits", ICCV 2025, arXiv 2408.07703.

    L = CE(y, z_s) + alpha SCD + beta MCD
    SCD = A^2 KL((p_t,m, 1 - p_t,m) || (p_s,y, 1 - p_s,y))          at temperature A; m = argmax z_t
    MCD = T^2 KL(p_t || p_s)     at temperature T, among the classes i with z_t,i < z_t,y

Sample confidence: the student is to be as sure of the label as the teacher is of whatever it says. Masked correlation:
classes that the teacher puts at the label or above it are left out, on both sides, and the others normalised. So
nothing that a wrong teacher says contradicts the label.

Where the teacher puts the label last there is no class to compare, and MCD is 0. Sums are over classes, means over the
batch. The authors' code reads A apart from T (1 and 4 by default); its README calls it with A = T (`--same-t`): --set
rld.alpha_temperature=4. The weight rises over the first 20 epochs as in `dkd`. Of a mixed image the label is that with
the larger share.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._classes import decoupled, is_class
from ._divergence import kl_mean
from ._logits import LogitMethod
from ._warmup import warmup


def _log_softmax_of(logits: Tensor, is_kept: Tensor) -> Tensor:
    """Among the classes that are kept [N, classes]; the others so low that they weigh nothing.

    Finite, so that a sample of which no class is kept gives no nan: all its classes are alike then.
    """
    return F.log_softmax(logits.masked_fill(~is_kept, torch.finfo(logits.dtype).min / 4), dim=1)


def rld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    alpha: float,
    beta: float,
    temperature: float,
    alpha_temperature: float,
) -> Tensor:
    """alpha SCD + beta MCD. Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch.

    alpha_temperature: A.
    """
    teacher_logits = teacher_logits.detach()
    is_largest = is_class(teacher_logits.argmax(dim=1), teacher_logits)
    student_binary, _ = decoupled(student_logits / alpha_temperature, is_class(targets, student_logits))
    teacher_binary, _ = decoupled(teacher_logits / alpha_temperature, is_largest)
    scd = kl_mean(student_binary, teacher_binary)
    is_below = teacher_logits < teacher_logits.gather(1, targets.unsqueeze(1))
    log_student = _log_softmax_of(student_logits / temperature, is_below)
    log_teacher = _log_softmax_of(teacher_logits / temperature, is_below)
    mcd = kl_mean(log_student, log_teacher)
    return alpha * alpha_temperature**2 * scd + beta * temperature**2 * mcd


class RLD(LogitMethod):
    """Match how sure the teacher is, and its ranking of the classes that it puts below the label."""

    name = "rld"
    paper = "Sun, Chen, Lyu, Chen, Chen, Wang, Knowledge Distillation with Refined Logits, ICCV 2025"
    terms = {"ce": "task", "rld": "distill"}
    by_label = True
    ablations = {"confidence_only": {"beta": 0.0}, "correlation_only": {"alpha": 0.0}}
    ce_weight: NotNegative = 1.0
    alpha: NotNegative = 1.0
    beta: NotNegative = 8.0
    temperature: Positive = 4.0
    alpha_temperature: Positive = 1.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 20

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        numbers = (self.alpha, self.beta, self.temperature, self.alpha_temperature)
        rld = self.mean_loss(lambda s, t, y: rld_loss(s, t, y, *numbers), batch, student, teacher.logits)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "rld": warmup(batch.step, self.warmup_epochs) * rld,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(RLD, revision=1)
