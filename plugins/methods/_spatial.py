"""What several feature methods need when the maps of student and teacher differ in height and width."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pool_to(features: Tensor, size: tuple[int, int]) -> Tensor:
    """A map [N, C, H, W] at height and width `size`, by adaptive average pooling."""
    height, width = features.shape[2:]
    if (height, width) == size:
        return features
    if height % size[0] == 0 and width % size[1] == 0:
        # The same means as the adaptive pooling below, whose backward pass on CUDA need not repeat bit for bit.
        return F.avg_pool2d(features, (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(features, size)


def pool_to_smaller(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps [N, C, H, W] at the smaller height and the smaller width of the two, by adaptive average pooling."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return pool_to(student, size), pool_to(teacher, size)
