"""Yuan, Tay, Li, Wang, Feng, "Revisiting Knowledge Distillation via Label Smoothing Regularization", CVPR 2020, arXiv
1909.11723: teacher-free distillation.

    kind = "virtual" (Tf-KD_reg)    L = (1 - a) CE(y, z_s) + a KL(p_d^T || softmax(z_s))
                                    p_d(y) = u, p_d(c) = (1 - u) / (C - 1) for the others
    kind = "self" (Tf-KD_self)      L = (1 - a) CE(y, z_s) + a T^2 KL(softmax(z_t / T) || softmax(z_s / T))

The virtual teacher is always right, with probability u = 0.99, and is softened by a temperature: p_d^T is the softmax
of log(p_d) / T. The teacher of "self" is a network of the student's own architecture trained on labels alone, whatever
the pair's teacher is: it is the `vanilla` cell of the same seed, and the student starts from other weights than it did.

Where the authors' code differs, the formula is followed. It averages the divergence over classes too, which makes it
smaller by their number, and multiplies it by a number set for each network (1, 50 or 100; 100 on 100 classes undoes
it); here it is summed. It softens the probabilities of p_d as if they were logits, which leaves 0.0105 of 0.99 on 100
classes at T = 20 (the formula 0.016). As there, the student is not softened by the virtual teacher's temperature. Its
settings differ by network; the defaults are those of its ResNet-18: a = 0.1 at T = 20, and for "self" a = 0.95 at
T = 6.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    MixedLabels,
    Outputs,
    Pair,
    Positive,
    Reads,
    Requirement,
    hookimpl,
)

from .kd import kd_loss

# Of the authors' ResNet-18: a and T.
PUBLISHED = {"virtual": (0.1, 20.0), "self": (0.95, 6.0)}

Correct = Annotated[float, Field(gt=0, lt=1)]


def tfkd_teacher(targets: Tensor, classes: int, correct_probability: float, temperature: float) -> Tensor:
    """What the virtual teacher says, float64 [N, classes]. targets: int64 [N]."""
    right = math.log(correct_probability) / temperature
    wrong = math.log((1 - correct_probability) / (classes - 1)) / temperature
    is_target = targets.unsqueeze(1) == torch.arange(classes, device=targets.device)
    answers = torch.full(is_target.shape, wrong, dtype=torch.float64, device=targets.device)
    return answers.masked_fill(is_target, right).softmax(dim=1)


def tfkd_loss(student_logits: Tensor, targets: Tensor, correct_probability: float, temperature: float = 1.0) -> Tensor:
    """KL(virtual teacher || student), summed over classes. The temperature is the teacher's; the student has none.

    Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch.
    """
    taught = tfkd_teacher(targets, student_logits.shape[1], correct_probability, temperature)
    log_p = student_logits.log_softmax(dim=1)
    return F.kl_div(log_p, taught.to(log_p.dtype), reduction="batchmean")


class TfKD(Method[Outputs | None]):
    """Learn from a teacher made by hand, or from a network of the student's own kind.

    kind: which of the two. alpha, temperature: a and T; None: the authors' for that kind.
    correct_probability: u, of the virtual teacher.
    """

    name = "tfkd"
    paper = "Yuan et al., Revisiting Knowledge Distillation via Label Smoothing Regularization, CVPR 2020"
    terms = {"ce": "task", "tfkd": "distill"}
    regime = "no_teacher"
    ablations = {"self": {"kind": "self"}}
    kind: Literal["virtual", "self"] = "virtual"
    alpha: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    temperature: Positive | None = None
    correct_probability: Correct = 0.99

    @property
    def reads(self) -> Reads:
        return Reads(teachers="none" if self.kind == "virtual" else "one")

    @property
    def mixed_labels(self) -> MixedLabels:
        return "larger" if self.kind == "virtual" else "mix"

    def requires(self, pair: Pair) -> Sequence[Requirement]:
        if self.kind == "virtual":
            return []
        return [Requirement(pair.student, subset="train", role="student", same_seed=True)]

    def build(self, context: BuildContext) -> None:
        if self.kind == "self":
            context.student_model.load_state_dict(context.peer("self").state_dict())

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        alpha, temperature = PUBLISHED[self.kind]
        alpha = alpha if self.alpha is None else self.alpha
        temperature = temperature if self.temperature is None else self.temperature
        if teacher is None:
            taught = tfkd_loss(student.logits, batch.targets, self.correct_probability, temperature)
        else:
            taught = kd_loss(student.logits, teacher.logits, temperature)
        return {"ce": (1 - alpha) * batch.task_loss(student.logits), "tfkd": alpha * taught}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(TfKD, revision=1)
