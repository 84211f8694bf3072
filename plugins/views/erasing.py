"""The dataset's crop and flip, then random erasing.

Zhong, Zheng, Kang, Li, Yang, "Random Erasing Data Augmentation", AAAI 2020.

With probability p = 0.5 a rectangle of an image is overwritten by noise, each pixel and channel uniform in 0..255 (the
paper's RE-R). Its area is a share s of the image, uniform in (0.02, 0.4), its height over its width r, uniform in
(0.3, 1/0.3), drawn anew until it fits; its place is uniform among those where it lies inside, as in the authors' code
(their algorithm 1 draws the place first, and all anew when it does not fit). r is relative to the image's own sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import ViewInfo, ViewSpec, hookimpl

from .standard import crop_and_flip, draw_crop_and_flip

PROBABILITY = 0.5
AREA = (0.02, 0.4)
SLIMMEST = 0.3
# Of rectangles 2 % do not fit; so many that do not come once in 10^16 images, which then stay whole.
TRIES = 10


def draw(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """In [0, 1): height and width of the rectangle, 0 for none, and the place of it among those possible. noise: int64,
    what the noise begins with.
    """
    crop = draw_crop_and_flip(n, generator)
    low, high = AREA
    area = low + (high - low) * torch.rand(n, TRIES, generator=generator)
    ratio = SLIMMEST + (1 / SLIMMEST - SLIMMEST) * torch.rand(n, TRIES, generator=generator)
    height, width = (area * ratio).sqrt(), (area / ratio).sqrt()
    fits = (height < 1) & (width < 1)
    first = fits.int().argmax(1, keepdim=True)  # of equal ones the first
    erased = fits.any(1) & (torch.rand(n, generator=generator) < PROBABILITY)
    sides = {
        name: torch.where(erased, side.gather(1, first).squeeze(1), 0)
        for name, side in (("height", height), ("width", width))
    }
    place = {name: torch.rand(n, generator=generator) for name in ("top", "left")}
    return {**crop, **sides, **place, "noise": torch.randint(2**31, (n,), generator=generator)}


def noise(start: Tensor, count: int) -> Tensor:
    """uint8 [n, count], the same on every device: a hash of a number per image and the pixel's position.

    The hash is lowbias32 (Wellons, "Prospecting for Hash Functions", 2018), of which the upper bits are taken.
    """
    mask = 0xFFFFFFFF
    mixed = (start.unsqueeze(1) + torch.arange(1, count + 1, device=start.device) * 0x9E3779B9) & mask
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed = ((mixed ^ (mixed >> shift)) * factor) & mask
    return ((mixed ^ (mixed >> 16)) >> 24).to(torch.uint8)


def erase(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    rows = _span(draws["top"], draws["height"], images.shape[2])
    columns = _span(draws["left"], draws["width"], images.shape[3])
    hole = (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)
    return torch.where(hole, noise(draws["noise"], images[0].numel()).view_as(images), images)


def _span(place: Tensor, length: Tensor, size: int) -> Tensor:
    """bool [n, size]: the pixels from the place on. length: a share of the size."""
    pixels = (length * size).round()
    first = (place * (size - pixels + 1)).floor().unsqueeze(1)
    position = torch.arange(size, device=place.device)
    return (position >= first) & (position < first + pixels.unsqueeze(1))


def erasing(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    return erase(crop_and_flip(images, draws, info), draws)


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    yield ViewSpec(
        "erasing",
        draw,
        erasing,
        summary="crop, flip, half of the images with a rectangle of noise",
        paper="Zhong, Zheng, Kang, Li, Yang, Random Erasing Data Augmentation, AAAI 2020",
        revision=1,
    )
