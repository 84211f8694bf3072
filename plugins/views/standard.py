"""The dataset's own augmentation: a random crop and a flip, as far as it has them.

On CIFAR that is a 32x32 crop out of the image in a frame of four black pixels, and a flip with probability one half
(He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from kdharness.api import ViewInfo, ViewSpec, hookimpl


def draw_crop_and_flip(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """In [0, 1): dy, dx, the place of the crop; flip, below one half for images that are flipped."""
    return {name: torch.rand(n, generator=generator) for name in ("dy", "dx", "flip")}


def crop_and_flip(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo, outside: int = 0) -> Tensor:
    """The dataset's standard augmentation: each image is cut out of a frame, then flipped left to right or not.

    images: uint8 [n, C, H, W], as is what comes out. outside: value of the frame's pixels.
    """
    padding = info.augmentation.crop_padding
    if padding:
        height, width = images.shape[2:]
        # A view of every possible crop: indexing it gathers a batch of crops in one kernel.
        windows = F.pad(images, (padding,) * 4, value=outside).unfold(2, height, 1).unfold(3, width, 1)
        dy, dx = ((draws[name] * (2 * padding + 1)).long() for name in ("dy", "dx"))
        images = windows[torch.arange(len(images), device=images.device), :, dy, dx]
    if info.augmentation.flip:
        images = torch.where((draws["flip"] < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
    return images


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    yield ViewSpec(
        "standard",
        draw_crop_and_flip,
        crop_and_flip,
        summary="the dataset's own crop and flip",
        paper="He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, CVPR 2016",
        revision=1,
    )
