"""The losses of RONA with a teacher, of each sample (see rona.py): what is bounded and perturbed, then averaged."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def hint_losses(guided: Tensor, hint: Tensor) -> Tensor:
    """|h - r(g)|^2 of each sample [N]; maps [N, C, H, W]."""
    return (hint - guided).square().flatten(1).sum(dim=1)


def distill_losses(student_logits: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    """Soft cross-entropy of each sample [N]; logits and the teacher's probabilities [N, classes]."""
    return -(probabilities * F.log_softmax(student_logits / temperature, dim=1)).sum(dim=1)
