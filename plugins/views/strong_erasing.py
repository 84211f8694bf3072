"""The strong view, then random erasing of a quarter of the images: what recipes for vision transformers combine.

Touvron, Cord, Douze, Massa, Sablayrolles, Jegou, "Training data-efficient image transformers & distillation through
attention", ICML 2021, table 9: RandAugment, then random erasing with probability 0.25. Its RandAugment is timm's, with
magnitudes drawn around 9 of 10, and its crops are of random size and shape; here RandAugment is that of `strong`,
magnitude 9 of 30, after the dataset's own crop and flip, and the rectangles are those of `erasing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import ViewInfo, ViewSpec, hookimpl

from .erasing import PROBABILITY as HALF, draw as draw_rectangles, erase
from .strong import draw as draw_strong, strong

PROBABILITY = 0.25


def draw(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Both views' draws; of the rectangles that `erasing` draws for half of the images every second is left out."""
    rectangles = draw_rectangles(n, generator)
    kept = torch.rand(n, generator=generator) < PROBABILITY / HALF
    sides = {name: torch.where(kept, rectangles[name], 0) for name in ("height", "width")}
    return {**rectangles, **sides, **draw_strong(n, generator)}


def strong_erasing(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    return erase(strong(images, draws, info), draws)


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    yield ViewSpec(
        "strong_erasing",
        draw,
        strong_erasing,
        summary="crop, flip, RandAugment, a quarter of the images with a rectangle of noise",
        paper="Touvron et al., Training data-efficient image transformers & distillation through attention, ICML 2021",
        revision=1,
    )
