"""Limantoro, Lin, Wang, Tsai, Shuai, Huang, Cheng, "Swapped Logit Distillation via Bi-level Teachers Alignment",
Multimedia Systems 2025.

    L = sum over two views of  lambda_CE CE(y, z_s) + lambda_KD sum_T T^2 [KL(p(z_t') || p_s) + g KL(p(z_s') || p_s)]

p: softmax of the logits at each temperature T of 1 to 6; z': logits in which the largest and the label's are exchanged
(`swap`); g: 0 at first, 1 after 150 of 240 epochs. Late in training the student's own swapped answer is a second
teacher.

A teacher gets no gradient: z_s' is detached here, which the authors' code forgets. Views are the recipe's and a strong
one, seen by teacher and student, as in `mlkd`; here the strong one is the view of that name, theirs draws two
operations of RandAugment with magnitudes of their own and ends with Cutout. `views = 1` leaves it out. The authors also
lower the learning rate of most pairs (0.025 for 0.05), which is the recipe's. Of a mixed image y is the label with the
larger share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from ._edits import swap_logits
from .kd import kd_loss


def _of_swapped(student_logits: Tensor, logits: Tensor, targets: Tensor, temperatures: Sequence[float]) -> Tensor:
    """The sum over temperatures of T^2 KL(swapped logits || student), a scalar."""
    taught = swap_logits(logits.detach(), targets)
    return torch.stack([kd_loss(student_logits, taught, temperature) for temperature in temperatures]).sum()


def sld_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    temperatures: Sequence[float],
    swap_student: bool,
) -> Tensor:
    """Of one view. Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch.

    swap_student: whether the student's own swapped answer teaches too (g = 1).
    """
    loss = _of_swapped(student_logits, teacher_logits, targets, temperatures)
    return loss + _of_swapped(student_logits, student_logits, targets, temperatures) if swap_student else loss


class SLD(Method):
    """Match a teacher whose label and largest logit are exchanged, late in training one's own such answer too."""

    name = "sld"
    paper = "Limantoro et al., Swapped Logit Distillation via Bi-level Teachers Alignment, Multimedia Systems 2025"
    terms = {"ce": "task", "sld": "distill", "own": "distill"}
    mixed_labels = "larger"
    ablations = {"one_view": {"views": 1}}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    temperatures: tuple[Positive, ...] = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    views: Annotated[int, Field(ge=1, le=2)] = 2
    late: Annotated[float, Field(ge=0, le=1)] = 0.625

    @property
    def reads(self) -> Reads:
        return Reads(views=("recipe", "strong") if self.views == 2 else ("recipe",))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        seen = [student.logits], [teacher.logits]
        if self.views == 2:
            seen = [view.logits for view in student.views], [view.logits for view in teacher.views]
        ce = torch.stack([batch.task_loss(logits) for logits in seen[0]]).sum()
        sld = [
            _of_swapped(logits, taught, batch.targets, self.temperatures) for logits, taught in zip(*seen, strict=True)
        ]
        own = [_of_swapped(logits, logits, batch.targets, self.temperatures) for logits in seen[0]]
        return {
            "ce": self.ce_weight * ce,
            "sld": self.weight * torch.stack(sld).sum(),
            # A tensor, so that a captured step sees it come in.
            "own": self.weight * (batch.step.progress >= self.late) * torch.stack(own).sum(),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SLD, revision=1)
