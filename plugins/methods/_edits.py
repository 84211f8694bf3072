"""Edits of a teacher's logits by the labels, so that it is right wherever it teaches.

`swap` and `sort` move values between classes, `revision` mixes the label in where the teacher errs. `rc` asks no
teacher: the student's own logits, edited, stand in its place. The methods of these names say which papers they are of.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ._classes import is_class

Edit = Literal["none", "swap", "sort", "revision", "rc"]

# The share eta of the label's revision, as published.
ETA = 0.8


def swap_logits(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """The label's value and the largest exchanged: nothing where the label has the largest.

    teacher_logits: [N, classes], as is what comes out; targets: int64 [N].
    """
    largest, place = teacher_logits.max(dim=1, keepdim=True)
    own = teacher_logits.gather(1, targets.unsqueeze(1))
    swapped = torch.where(is_class(place.squeeze(1), teacher_logits), own, teacher_logits)
    return torch.where(is_class(targets, teacher_logits), largest, swapped)


def sort_logits(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """The largest value put at the label, and those that were above the label's moved down by one place.

    teacher_logits: [N, classes], as is what comes out; targets: int64 [N].
    """
    values = teacher_logits.sort(dim=1, descending=True).values
    first = teacher_logits.masked_fill(is_class(targets, teacher_logits), float("inf"))
    place = first.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return values.gather(1, place)


def log_revised(teacher_logits: Tensor, targets: Tensor, eta: float) -> Tensor:
    """log(b p + (1 - b) y) with b = eta / (max p - p_y + 1), where p is the teacher's at T = 1 and y the label.

    It has its maximum at the label. teacher_logits: [N, classes], as is what comes out; targets: int64 [N].
    """
    log_p = F.log_softmax(teacher_logits, dim=1)
    own = log_p.gather(1, targets.unsqueeze(1)).exp()
    b = eta / (log_p.amax(dim=1, keepdim=True).exp() - own + 1)
    return torch.where(is_class(targets, teacher_logits), (b * own + (1 - b)).log(), log_p + b.log())


def revised_logits(teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """`log_revised` where the teacher's largest logit is not the label's, its logits elsewhere. [N, classes]."""
    is_right = teacher_logits.argmax(dim=1, keepdim=True) == targets.unsqueeze(1)
    return torch.where(is_right, teacher_logits, log_revised(teacher_logits, targets, ETA))


def corrected_logits(student_logits: Tensor, targets: Tensor) -> Tensor:
    """The student's logits without gradient, with the largest added to the label's. [N, classes]."""
    logits = student_logits.detach()
    return torch.where(is_class(targets, logits), logits + logits.amax(dim=1, keepdim=True), logits)


def edited_logits(edit: Edit, student_logits: Tensor, teacher_logits: Tensor, targets: Tensor) -> Tensor:
    """The logits [N, classes] that teach after an edit, by its name. Of the student's, nothing carries gradient."""
    if edit == "rc":
        return corrected_logits(student_logits, targets)
    edits = {"swap": swap_logits, "sort": sort_logits, "revision": revised_logits}
    return teacher_logits if edit == "none" else edits[edit](teacher_logits, targets)
