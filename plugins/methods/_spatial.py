"""What several feature methods need when the maps of student and teacher differ in height and width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pool_to(features: Tensor, size: tuple[int, int]) -> Tensor:
    """A map [N, C, H, W] at height and width `size`, by adaptive average pooling, which repeats what is smaller.

    The adaptive pooling of torch has a backward pass on CUDA that need not repeat bit for bit: it is left to the CPU.
    """
    height, width = features.shape[2:]
    if (height, width) == size:
        return features
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(features, (height // size[0], width // size[1]))
    if size[0] % height == 0 and size[1] % width == 0:
        return features.repeat_interleave(size[0] // height, dim=2).repeat_interleave(size[1] // width, dim=3)
    return by_windows(features, size) if features.is_cuda else F.adaptive_avg_pool2d(features, size)


def by_windows(features: Tensor, size: tuple[int, int]) -> Tensor:
    """`pool_to` by a mean of each window."""
    rows, columns = (windows(length, parts) for length, parts in zip(features.shape[2:], size, strict=True))
    means = [features[..., top:bottom, left:right].mean(dim=(2, 3)) for top, bottom in rows for left, right in columns]
    return torch.stack(means, dim=2).reshape(*features.shape[:2], *size)


def windows(length: int, parts: int) -> list[tuple[int, int]]:
    """Where each part begins and ends, as adaptive pooling has it: parts may share a row."""
    return [(part * length // parts, -(-(part + 1) * length // parts)) for part in range(parts)]


def pool_to_smaller(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps [N, C, H, W] at the smaller height and the smaller width of the two, by adaptive average pooling."""
    size = (min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3]))
    return pool_to(student, size), pool_to(teacher, size)
