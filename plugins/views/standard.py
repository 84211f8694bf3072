"""The dataset's own augmentation: a random crop and a flip, as far as it has them.

On CIFAR that is a 32x32 crop out of the image in a frame of four black pixels, and a flip with probability one half
(He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from kdharness.api import FiniteView, ViewInfo, ViewSpec, hookimpl


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
        dy, dx = (_place(draws[name], padding) for name in ("dy", "dx"))
        images = windows[torch.arange(len(images), device=images.device), :, dy, dx]
    if info.augmentation.flip:
        images = torch.where(_flipped(draws).view(-1, 1, 1, 1), images.flip(3), images)
    return images


def _place(draws: Tensor, padding: int) -> Tensor:
    """Which of the crops along one side."""
    return (draws * (2 * padding + 1)).long()


def _flipped(draws: Mapping[str, Tensor]) -> Tensor:
    return draws["flip"] < 0.5


def count(info: ViewInfo) -> int:
    """162 for a frame of four pixels and a flip: 9 x 9 crops, and their mirror images."""
    return (2 * info.augmentation.crop_padding + 1) ** 2 * (2 if info.augmentation.flip else 1)


def number(draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    """Crops row by row, each before its mirror image."""
    padding = info.augmentation.crop_padding
    crop = _place(draws["dy"], padding) * (2 * padding + 1) + _place(draws["dx"], padding)
    return crop * 2 + _flipped(draws).long() if info.augmentation.flip else crop


def draws_of(numbers: Tensor, info: ViewInfo) -> dict[str, Tensor]:
    """From the middle of what gives each picture."""
    side = 2 * info.augmentation.crop_padding + 1
    crop = numbers // 2 if info.augmentation.flip else numbers
    flipped = numbers % 2 == 1
    return {
        "dy": (crop // side + 0.5) / side,
        "dx": (crop % side + 0.5) / side,
        "flip": torch.where(flipped, 0.25, 0.75),
    }


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    yield ViewSpec(
        "standard",
        draw_crop_and_flip,
        crop_and_flip,
        summary="the dataset's own crop and flip",
        paper="He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, CVPR 2016",
        revision=1,
        finite=FiniteView(count, number, draws_of),
    )
