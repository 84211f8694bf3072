"""A strong view: the dataset's crop and flip, then RandAugment.

Cubuk, Zoph, Shlens, Le, "RandAugment: Practical automated data augmentation with a reduced search space", NeurIPS 2020,
arXiv 1909.13719.

Of 14 operations two are drawn for each image, with replacement, one after the other, each at magnitude 9 of 0..30, to
either side with equal probability: N = 2, M = 9 and the operations are the defaults of torchvision's RandAugment.
FixMatch and the distillation methods that follow it draw magnitudes too and end with Cutout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import ViewInfo, ViewSpec, hookimpl

from ._operations import OPERATIONS, operate
from .standard import crop_and_flip, draw_crop_and_flip

COUNT = 2
LEVEL = 9 / 30
# RandAugment has no inversion.
CHOICES = len(OPERATIONS) - 1


def draw(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """operation: int64 [n, 2]; level: float [n, 2], -0.3 or 0.3."""
    crop = draw_crop_and_flip(n, generator)
    operation = torch.randint(CHOICES, (n, COUNT), generator=generator)
    side = torch.randint(2, (n, COUNT), generator=generator)
    return {**crop, "operation": operation, "level": LEVEL * (2 * side - 1)}


def strong(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    images = crop_and_flip(images, draws, info)
    for number in range(COUNT):
        images = operate(images, draws["operation"][:, number], draws["level"][:, number])
    return images


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    yield ViewSpec(
        "strong",
        draw,
        strong,
        summary="crop, flip, RandAugment (two operations, magnitude 9)",
        paper="Cubuk, Zoph, Shlens, Le, RandAugment: Practical Automated Data Augmentation with a Reduced Search "
        "Space, NeurIPS 2020",
        revision=1,
    )
