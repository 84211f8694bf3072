"""The dataset's crop and flip, AutoAugment's policy for CIFAR-10, then Cutout.

Cubuk, Zoph, Mane, Vasudevan, Le, "AutoAugment: Learning Augmentation Strategies from Data", CVPR 2019, table 7.
DeVries, Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", arXiv 1708.04552.

For each image one of 25 pairs of operations is drawn; each of the pair is done with its own probability at its own
magnitude, 0 to 9 of 9, to either side with equal probability. Cutout blackens a square of half the image's side (16 of
32 pixels) about a pixel drawn from the whole image, so that part of it may lie outside.

Cutout's authors set what is cut to 0 after normalising, which is the mean colour. Here, where images are still bytes,
it is black, as wherever Cutout stands before the normalisation.

`autoaugment_cutout` fills what comes from outside the image with black, as torchvision does; `autoaugment_cutout_grey`
with 128, as the code of some papers does, BYOT's journal version among them. (That one also interpolates what it
shears, and turns images to one side only.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import torch
from torch import Tensor

from kdharness.api import ViewInfo, ViewSpec, hookimpl

from ._operations import OPERATIONS, operate
from .standard import crop_and_flip, draw_crop_and_flip

# Operation, probability in tenths and magnitude (0 where there is none) of either operation of a pair.
POLICY = """
invert 1 0         contrast 2 6
rotate 7 2         translate_x 3 9
sharpness 8 1      sharpness 9 3
shear_y 5 8        translate_y 7 9
auto_contrast 5 0  equalize 9 0
shear_y 2 7        posterize 3 7
color 4 3          brightness 6 7
sharpness 3 9      brightness 7 9
equalize 6 0       equalize 5 0
contrast 6 7       sharpness 6 5
color 7 7          translate_x 5 8
equalize 3 0       auto_contrast 4 0
translate_y 4 3    sharpness 2 6
brightness 9 6     color 2 8
solarize 5 2       invert 0 0
equalize 2 0       auto_contrast 6 0
equalize 2 0       equalize 6 0
color 9 9          equalize 6 0
auto_contrast 8 0  solarize 2 8
brightness 1 3     color 7 0
solarize 4 5       auto_contrast 9 0
translate_y 9 9    translate_y 7 9
auto_contrast 9 0  solarize 8 3
equalize 8 0       invert 1 0
translate_y 7 9    auto_contrast 9 0
"""


def policy() -> tuple[Tensor, Tensor, Tensor]:
    """Of the policy, [25, 2] each: positions in OPERATIONS, probabilities, levels."""
    rows = [line.split() for line in POLICY.strip().splitlines()]
    parts = [[(row[k], int(row[k + 1]), int(row[k + 2])) for k in (0, 3)] for row in rows]
    operation = torch.tensor([[OPERATIONS.index(name) for name, _, _ in pair] for pair in parts])
    probability, magnitude = (torch.tensor([[part[k] for part in pair] for pair in parts]) for k in (1, 2))
    return operation, probability / 10, magnitude / 9


def draw(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """operation: int64 [n, 2]; level: float [n, 2] in [-1, 1]; hole_y, hole_x: [n] in [0, 1), the hole's middle."""
    crop = draw_crop_and_flip(n, generator)
    table = policy()
    chosen = torch.randint(len(table[0]), (n,), generator=generator)
    operation, probability, level = (column[chosen] for column in table)
    done = torch.rand(n, 2, generator=generator) < probability
    side = 2 * torch.randint(2, (n, 2), generator=generator) - 1
    hole = {name: torch.rand(n, generator=generator) for name in ("hole_y", "hole_x")}
    return {**crop, "operation": torch.where(done, operation, 0), "level": level * side, **hole}


def cut_out(images: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """A square of half the image's side is black. y, x: [n] in [0, 1), where the middle is."""
    inside = [_near(place, size) for place, size in ((y, images.shape[2]), (x, images.shape[3]))]
    hole = inside[0].unsqueeze(2) & inside[1].unsqueeze(1)
    return images.masked_fill(hole.unsqueeze(1), 0)


def _near(place: Tensor, size: int) -> Tensor:
    """bool [n, size]: the pixels of half the side, from a quarter before the middle on."""
    distance = torch.arange(size, device=place.device) - (place * size).floor().unsqueeze(1)
    return (distance >= -(size // 4)) & (distance < size // 2 - size // 4)


def autoaugment_cutout(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo, outside: int = 0) -> Tensor:
    images = crop_and_flip(images, draws, info, outside)
    for number in range(2):
        images = operate(images, draws["operation"][:, number], draws["level"][:, number], outside)
    return cut_out(images, draws["hole_y"], draws["hole_x"])


PAPER = (
    "Cubuk, Zoph, Mane, Vasudevan, Le, AutoAugment: Learning Augmentation Strategies from Data, CVPR 2019; "
    "DeVries, Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, arXiv 1708.04552"
)


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    summary = "crop, flip, AutoAugment's policy for CIFAR-10, Cutout of half the side"
    yield ViewSpec("autoaugment_cutout", draw, autoaugment_cutout, summary=summary, paper=PAPER, revision=1)
    yield ViewSpec(
        "autoaugment_cutout_grey",
        draw,
        partial(autoaugment_cutout, outside=128),
        summary="the same with grey of 128 around the images",
        paper=PAPER,
        revision=1,
    )
