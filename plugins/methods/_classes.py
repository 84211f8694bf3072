"""Class probabilities apart from one class: the label's, or another one that a method singles out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def is_class(classes: Tensor, logits: Tensor) -> Tensor:
    """bool like logits [N, classes]: where each sample's class is. classes: int64 [N]."""
    return classes.unsqueeze(1) == torch.arange(logits.shape[1], device=classes.device)


def decoupled(logits: Tensor, is_target: Tensor) -> tuple[Tensor, Tensor]:
    """log b [N, 2], the class and all others, and log p_hat [N, classes], among the others, with 0 at the class itself.

    In log space, so that a sure network gives no log(0). logits, is_target (bool): [N, classes].
    """
    log_p = F.log_softmax(logits, dim=1)
    log_target = log_p.masked_fill(~is_target, 0).sum(dim=1, keepdim=True)
    log_rest = log_p.masked_fill(is_target, float("-inf")).logsumexp(dim=1, keepdim=True)
    return torch.cat([log_target, log_rest], dim=1), (log_p - log_rest).masked_fill(is_target, 0)
