"""What goes with any loss of logits: edits of the teacher's logits by the labels, and weights of samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor
from torch.func import vmap

from kdharness.api import Batch, Method, MixedLabels, Neutral, Outputs, Positive

from ._edits import Edit, edited_logits

# Logits of student and teacher [N, classes] and targets int64 [N]; a scalar, the mean over samples.
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def _entropy(logits: Tensor, temperature: float) -> Tensor:
    """Of the softmax at the temperature, [N]. It adds 1e-10 to probabilities, as public code does."""
    p = F.softmax(logits / temperature, dim=1)
    return -(p * (p + 1e-10).log()).sum(dim=1)


def eakd_weight(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """(H_t + H_t H_s / ln C) / 2, [N], without gradient. H: entropies at the temperature; C: how many classes.

    Logits: [N, classes].
    """
    of_teacher = _entropy(teacher_logits.detach(), temperature)
    of_student = _entropy(student_logits.detach(), temperature)
    return (of_teacher + of_teacher * of_student / math.log(student_logits.shape[1])) / 2


class LogitMethod(Method):
    """A method whose distillation term is a mean over samples of a loss of the student's and the teacher's logits.

    Its two parameters go with any such loss, and are neutral as they are. edit: what the labels do to the teacher's
    logits first (`_edits.py`). weighting: "entropy" multiplies each sample's loss by EA-KD's weight (`eakd.py`), at
    weight_temperature.
    """

    #: Whether the loss reads the labels by itself.
    by_label: ClassVar[bool] = False
    edit: Annotated[Edit, Neutral("none")] = "none"
    weighting: Annotated[Literal["none", "entropy"], Neutral("none")] = "none"
    weight_temperature: Annotated[Positive, Neutral(3.0)] = 3.0

    @property
    def mixed_labels(self) -> MixedLabels:
        return "larger" if self.by_label or self.edit != "none" else "mix"

    def mean_loss(self, loss: Loss, batch: Batch, student: Outputs, teacher_logits: Tensor) -> Tensor:
        """The loss of the edited teacher's logits, each sample with its weight; a scalar."""
        logits, targets = student.logits, batch.targets
        taught = edited_logits(self.edit, logits, teacher_logits, targets)
        if self.weighting == "none":
            return loss(logits, taught, targets)
        # The mean over a batch of one is that sample's loss.
        each = vmap(lambda s, t, y: loss(s[None], t[None], y[None]))(logits, taught, targets)
        return (eakd_weight(logits, taught, self.weight_temperature) * each).mean()
