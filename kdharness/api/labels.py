"""Labels of a batch whose images may be mixed, and the task loss that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Mixing:
    """How the images of a batch were mixed: the same for all its views, and for all cells that train on it.

    kind: "mixup" adds images, weighted by their shares; "cutmix" pastes a box of one into the other. Known on the host.
    share: 0-d float tensor on the device: what each image keeps of itself, lambda of the papers, in [0, 1]. Its partner
        has the rest.
    permutation: int64 [N]: each image's partner, a position in the batch.
    box: float [4]: top, left, bottom and right edge of what is pasted, relative to the image, in [0, 1]. All zero
        for mixup.
    """

    kind: Literal["mixup", "cutmix"]
    share: Tensor
    permutation: Tensor
    box: Tensor

    def tensors(self) -> list[Tensor]:
        """Every tensor that is held, for checks that nobody changed it."""
        return [self.share, self.permutation, self.box]


@dataclass(frozen=True)
class TaskLoss:
    """The recipe's loss on labels.

    kind: "ce" is cross-entropy. "bce" is binary cross-entropy of each class's own sigmoid, the mean over samples and
        classes, as in Wightman, Touvron, Jegou, "ResNet strikes back", 2021 (section 3), and timm's recipes.
    smoothing: epsilon. The labels y become (1 - epsilon) y + epsilon / classes, hard or mixed.
    """

    kind: Literal["ce", "bce"] = "ce"
    smoothing: float = 0.0

    def __call__(
        self, logits: Tensor, targets: Tensor, soft_targets: Tensor | None, reduction: Literal["mean", "none"] = "mean"
    ) -> Tensor:
        """A scalar, or with reduction "none" one loss per sample [N], of which it is the mean.

        logits: [N, classes]. targets: int64 [N]; not read where there are soft_targets [N, classes].
        """
        if self.kind == "ce":
            labels = targets if soft_targets is None else soft_targets
            return F.cross_entropy(logits, labels, reduction=reduction, label_smoothing=self.smoothing)
        classes = logits.shape[1]
        soft = one_hot(targets, classes) if soft_targets is None else soft_targets
        smooth = (1 - self.smoothing) * soft + self.smoothing / classes
        losses = F.binary_cross_entropy_with_logits(logits, smooth.to(logits.dtype), reduction="none").mean(dim=1)
        return losses if reduction == "none" else losses.mean()


#: What a batch has where no recipe says otherwise.
CROSS_ENTROPY = TaskLoss()


def one_hot(targets: Tensor, classes: int) -> Tensor:
    """float [N, classes] with a 1 at each target, without a look at their values. targets: int64 [N]."""
    return (targets.unsqueeze(1) == torch.arange(classes, device=targets.device)).float()
