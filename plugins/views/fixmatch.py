"""The strong view of FixMatch: the dataset's crop and flip, two operations of RandAugment, then Cutout.

Sohn et al., "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence", NeurIPS 2020, arXiv
2001.07685, as its PyTorch version has it that the code of several distillation methods took over.

Of 14 operations two are drawn for each image, with replacement, each at a magnitude drawn for the image: brightness,
colour, contrast and sharpness by a factor of 0.05 to 0.95 (never up), rotations of up to 30 degrees, shears of up to
0.3, translations of up to 0.3 of the side, 4 to 7 bits posterized, solarized from any value. Then a square of up to
half the image's width about a pixel drawn from the whole image is covered with grey (125, 123, 114); of images that
have not three channels, with 121. `strong` has one magnitude and no Cutout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import ViewInfo, ViewSpec, hookimpl

from ._operations import OPERATIONS, operate
from .standard import crop_and_flip, draw_crop_and_flip

COUNT = 2
# RandAugment has no inversion.
CHOICES = OPERATIONS[:-1]
# In units of operate's largest magnitude: 0.9 of a factor, 150/331 of a side.
FACTOR = (-0.95 / 0.9, -0.05 / 0.9)
SHIFT = (-0.3 * 331 / 150, 0.3 * 331 / 150)
LEVELS: dict[str, tuple[float, float]] = {
    "shear_x": (-1, 1),
    "shear_y": (-1, 1),
    "translate_x": SHIFT,
    "translate_y": SHIFT,
    "rotate": (-1, 1),
    **dict.fromkeys(("brightness", "color", "contrast", "sharpness"), FACTOR),
    "posterize": (0.25, 1.25),
    "solarize": (0, 1),
}
GREY = (125, 123, 114)
LARGEST_HOLE = 0.5


def draw(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """operation: int64 [n, 2]; level: float [n, 2]; hole_y, hole_x, hole: [n], the hole's middle and size as shares."""
    crop = draw_crop_and_flip(n, generator)
    operation = torch.randint(len(CHOICES), (n, COUNT), generator=generator)
    low, high = torch.tensor([LEVELS.get(name, (0.0, 0.0)) for name in CHOICES])[operation].unbind(dim=2)
    level = low + (high - low) * torch.rand(n, COUNT, generator=generator)
    # Whole bits.
    level = torch.where(operation == CHOICES.index("posterize"), (4 * level).floor() / 4, level)
    hole = {name: torch.rand(n, generator=generator) for name in ("hole_y", "hole_x")}
    size = LARGEST_HOLE * torch.rand(n, generator=generator)
    return {**crop, "operation": operation, "level": level, **hole, "hole": size}


def covered(images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
    """The images with their squares of grey. images: uint8 [n, C, H, W]."""
    channels, height, width = images.shape[1:]
    side = draws["hole"] * width
    inside = [_from(draws[name] * size, side, size) for name, size in (("hole_y", height), ("hole_x", width))]
    hole = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1)
    colours = GREY if channels == len(GREY) else (round(sum(GREY) / len(GREY)),) * channels
    grey = torch.stack([torch.full((1, 1), colour, dtype=torch.uint8, device=images.device) for colour in colours])
    return torch.where(hole, grey, images)


def _from(middle: Tensor, side: Tensor, size: int) -> Tensor:
    """bool [n, size]: the pixels from half a side before the middle, or from the edge, over a whole side."""
    start = (middle - side / 2).clamp(min=0).floor().unsqueeze(1)
    place = torch.arange(size, device=middle.device)
    return (place >= start) & (place <= start + side.unsqueeze(1))


def fixmatch(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    images = crop_and_flip(images, draws, info)
    for number in range(COUNT):
        images = operate(images, draws["operation"][:, number], draws["level"][:, number])
    return covered(images, draws)


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    yield ViewSpec(
        "fixmatch",
        draw,
        fixmatch,
        summary="crop, flip, RandAugment (two operations, magnitudes drawn), Cutout of up to half the side",
        paper="Sohn et al., FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence, "
        "NeurIPS 2020",
        revision=1,
    )
