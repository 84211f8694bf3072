"""A small ConvNeXt for images of 32x32.

Liu, Mao, Wu, Feichtenhofer, Darrell, Xie, "A ConvNet for the 2020s", CVPR 2022: patches, then four stages of blocks
(a 7x7 convolution per channel, layer normalisation, a perceptron of four times the width, a factor per channel), with a
normalisation and a 2x2 convolution of stride 2 between stages; global average pooling, normalisation, a linear layer.
convnext_atto_p2 has the depths and widths of the smallest member of Woo et al., "ConvNeXt V2", CVPR 2023, as V1 blocks,
and patches of 2x2 in place of 4x4, so that a 32x32 image leaves maps of 16, 8, 4 and 2.

drop_path leaves a block's branch out for a sample in training; the rate rises linearly from 0 in the first block.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import ModelSpec, Parameter, hookimpl

PATCH = 2
DEPTHS = (2, 2, 6, 2)
WIDTHS = (40, 80, 160, 320)
EXPANSION = 4
FIRST_SCALE = 1e-6
EPSILON = 1e-6


class MapNorm(nn.LayerNorm):
    """Layer normalisation over the channels of maps [N, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Block(nn.Module):
    """x + scale F(x). Keeps the shape [N, C, H, W]."""

    def __init__(self, channels: int, drop_path: float) -> None:
        super().__init__()
        self.rate = drop_path
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = MapNorm(channels)
        self.widen = nn.Conv2d(channels, EXPANSION * channels, 1)
        self.act = nn.GELU()
        self.narrow = nn.Conv2d(EXPANSION * channels, channels, 1)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), FIRST_SCALE))

    def forward(self, x: Tensor) -> Tensor:
        branch = self.narrow(self.act(self.widen(self.norm(self.depthwise(x))))) * self.scale
        if self.training and self.rate:
            branch = branch * x.new_empty((len(x), 1, 1, 1)).bernoulli_(1 - self.rate) / (1 - self.rate)
        out: Tensor = x + branch
        return out


class ConvNeXt(nn.Module):
    """Images must be at least 16x16, and multiples of 16 high and wide."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], drop_path: float = 0.0) -> None:
        super().__init__()
        channels, height, width = input_shape
        if height % 16 or width % 16:
            raise ValueError(f"images must be multiples of 16 high and wide, not {height}x{width}")
        rates = iter([drop_path * number / (sum(DEPTHS) - 1) for number in range(sum(DEPTHS))])
        self.stem = nn.Sequential(nn.Conv2d(channels, WIDTHS[0], PATCH, stride=PATCH), MapNorm(WIDTHS[0]))
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*halving(before, after), *(Block(after, next(rates)) for _ in range(depth)))
            for before, after, depth in zip((WIDTHS[0], *WIDTHS[:-1]), WIDTHS, DEPTHS, strict=True)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.LayerNorm(WIDTHS[-1], eps=EPSILON)
        self.head = nn.Linear(WIDTHS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))
        logits: Tensor = self.head(self.norm(self.avgpool(x).flatten(1)))
        return logits


def halving(before: int, after: int) -> tuple[nn.Module, ...]:
    """What stands between two stages; nothing before the first."""
    return () if before == after else (MapNorm(before), nn.Conv2d(before, after, 2, stride=2))


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="convnext_atto_p2",
        factory=ConvNeXt,
        summary="ConvNeXt of the smallest size, with patches of 2x2",
        stem="stem",
        stages=("stage1", "stage2", "stage3", "stage4"),
        classifier="head",
        parameters=(Parameter("drop_path", Annotated[float, Field(ge=0, lt=1)], 0.0),),
        paper="Liu et al., A ConvNet for the 2020s, CVPR 2022",
        revision=1,
    )
