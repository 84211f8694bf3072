"""The image operations of AutoAugment and RandAugment, each image of a batch by its own, all in tensor operations.

An operation has a level in [-1, 1], a share of its largest magnitude; operations without a direction take its size.
Names, ranges and roundings are those of torchvision, which follows the papers (Cubuk, Zoph, Mane, Vasudevan, Le,
"AutoAugment", CVPR 2019, table 6; Cubuk, Zoph, Shlens, Le, "RandAugment", NeurIPS 2020):

    shear_x, shear_y          tangent 0.3 l, about the upper left corner
    translate_x, translate_y  150/331 l of width or height, whole pixels
    rotate                    30 l degrees
    brightness, color,        the image and its black, grey, mean grey, blurred version blended by 1 + 0.9 l
    contrast, sharpness
    posterize                 the 8 - 4 |l| highest bits
    solarize                  inverts pixels from 255 (1 - |l|) on
    auto_contrast, equalize, invert

What comes from outside the image is black, unless another value is given; the nearest pixel is taken. All operations
are of one of four kinds: a change of place, of single values (by a table of 256), of colours, of neighbours. Every
image passes through all four, three of which leave it alone. So nothing depends on which image has which operation,
and no step waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

OPERATIONS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
    "invert",
)

# Whether an image [n] has an operation.
Has = Callable[[str], Tensor]


def operate(images: Tensor, operation: Tensor, level: Tensor, outside: int = 0) -> Tensor:
    """One operation on each image.

    images: uint8 [n, C, H, W], as is what comes out; operation: int64 [n], positions in OPERATIONS; level: float [n];
    outside: value of pixels that come from outside the image.
    """

    def has(name: str) -> Tensor:
        return operation == OPERATIONS.index(name)

    moved = _moved(images, has, level, outside)
    looked_up = _looked_up(moved, has, level)
    return _sharpened(_coloured(looked_up, has, level), has, level)


def _over(values: Tensor, condition: Tensor) -> Tensor:
    """The values where the condition holds, else 0."""
    return torch.where(condition, values, torch.zeros_like(values))


# -- places ------------------------------------------------------------------------------------------------------------


def _moved(images: Tensor, has: Has, level: Tensor, outside: int) -> Tensor:
    """Each pixel (x, y) from the image's middle comes from (x + b y + u, c x + y + v), or from its turn about it."""
    height, width = images.shape[2:]
    angle = _over(level * math.radians(30), has("rotate"))
    straight, turn = angle.cos(), angle.sin()
    b, c = _over(0.3 * level, has("shear_x")), _over(0.3 * level, has("shear_y"))
    u = b * (height / 2) - _over((150 / 331 * width * level).trunc(), has("translate_x"))
    v = c * (width / 2) - _over((150 / 331 * height * level).trunc(), has("translate_y"))
    y, x = (torch.arange(size, device=images.device) + (0.5 - size / 2) for size in (height, width))
    x, y = x.view(1, 1, width), y.view(1, height, 1)
    straight, turn, b, c, u, v = (part.view(-1, 1, 1) for part in (straight, turn, b, c, u, v))
    # In units of half the image, as grid_sample counts.
    from_x = (straight * x + (b - turn) * y + u) / (width / 2)
    from_y = ((c + turn) * x + straight * y + v) / (height / 2)
    grid = torch.stack([from_x, from_y], dim=3)
    # Zeros come from outside: values are counted from there.
    moved = F.grid_sample(images.float() - outside, grid, "nearest", "zeros", align_corners=False)
    return (moved + outside).to(torch.uint8)


# -- single values -----------------------------------------------------------------------------------------------------


def _looked_up(images: Tensor, has: Has, level: Tensor) -> Tensor:
    """By a table of 256 values for each image and channel."""
    n, channels = images.shape[:2]
    pixels = images.flatten(2).long()
    value = torch.arange(256, device=images.device, dtype=torch.float32).expand(n, channels, 256)
    level = level.view(-1, 1, 1)
    factor = 1 + 0.9 * level
    mean = _grey(images).mean(dim=(1, 2, 3)).view(-1, 1, 1)
    kept = torch.exp2((4 * level.abs()).round())  # the distance of two values that posterizing leaves apart
    tables = {
        "brightness": value * factor,
        "contrast": value * factor + mean * (1 - factor),
        "posterize": (value / kept).floor() * kept,
        "solarize": torch.where(value >= 255 * (1 - level.abs()), 255 - value, value),
        "auto_contrast": _stretched(images, value),
        "equalize": _equalized(pixels, value),
        "invert": 255 - value,
    }
    table = value
    for name, values in tables.items():
        table = torch.where(has(name).view(-1, 1, 1), values, table)
    return table.clamp(0, 255).to(torch.uint8).gather(2, pixels).view_as(images)


def _stretched(images: Tensor, value: Tensor) -> Tensor:
    """The table that brings a channel's darkest pixel to 0 and its brightest to 255."""
    low, high = (extreme(dim=(2, 3)).float().unsqueeze(2) for extreme in (images.amin, images.amax))
    return torch.where(high > low, (value - low) / ((high - low) * (1 / 255)).clamp_min(1 / 255), value)


def _equalized(pixels: Tensor, value: Tensor) -> Tensor:
    """The table that makes a channel's values about equally frequent, in whole steps as Pillow makes it."""
    counts = torch.zeros(value.shape, dtype=torch.int64, device=pixels.device)
    counts.scatter_add_(2, pixels, torch.ones_like(pixels))
    up_to = counts.cumsum(2)
    brightest = counts.gather(2, pixels.amax(dim=2, keepdim=True))
    step = (pixels.shape[2] - brightest) // 255
    table = (up_to - counts + step // 2) // step.clamp_min(1)
    return torch.where(step > 0, table.float(), value)


# -- colours and neighbours --------------------------------------------------------------------------------------------


def _grey(images: Tensor) -> Tensor:
    """[n, 1, H, W], whole numbers; of what has not three channels, their mean."""
    if images.shape[1] != 3:
        return images.float().mean(dim=1, keepdim=True).floor()
    red, green, blue = images.float().split(1, dim=1)
    grey: Tensor = 0.2989 * red + 0.587 * green + 0.114 * blue
    return grey.floor()


def _blended(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    factor = factor.view(-1, 1, 1, 1)
    return (images * factor + other * (1 - factor)).clamp(0, 255).to(torch.uint8)


def _coloured(images: Tensor, has: Has, level: Tensor) -> Tensor:
    return _blended(images, _grey(images), 1 + _over(0.9 * level, has("color"))) if images.shape[1] > 1 else images


def _sharpened(images: Tensor, has: Has, level: Tensor) -> Tensor:
    if min(images.shape[2:]) < 3:
        return images
    blurred = images.float()
    inner = blurred[:, :, 1:-1, 1:-1]
    # A weight of 5 for the pixel and of 1 for each neighbour; the border stays.
    blurred[:, :, 1:-1, 1:-1] = ((9 * F.avg_pool2d(blurred, 3, 1) + 4 * inner) / 13).round()
    return _blended(images, blurred, 1 + _over(0.9 * level, has("sharpness")))
