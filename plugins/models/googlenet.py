"""GoogLeNet with batch normalisation, in the CIFAR form that MEAL's code has.

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1: inception modules of four branches. The CIFAR
form: one 3x3 convolution with stride 1 to 192 channels as the stem; batch normalisation after each convolution, which
keeps its bias; two 3x3 convolutions in place of a 5x5; no auxiliary classifiers, no dropout; 3x3 max-pooling with
stride 2 after modules 3b and 4e; global average pooling and one linear layer.

A stage's feature is what its last module returns, before pooling. (MEAL taps after the pooling.) One ReLU follows the
concatenation, which is the same as one in each branch. There is one last normalisation per branch, none of the whole:
no norms are declared.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise

STEM = 192


class Inception(nn.Module):
    """Branches of 1x1, 3x3, 5x5 (as two 3x3) convolutions and of 3x3 pooling, concatenated; maps keep their size.

    reduce3, reduce5: channels of the 1x1 convolutions before the 3x3 and 5x5 ones; the other widths are what the four
    branches end in.
    """

    def __init__(
        self, in_channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, pool: int
    ) -> None:
        super().__init__()
        self.out_channels = one + three + five + pool
        self.branch1 = nn.Sequential(*convolution(in_channels, one, 1))
        self.branch3 = nn.Sequential(*convolution(in_channels, reduce3, 1), nn.ReLU(), *convolution(reduce3, three, 3))
        self.branch5 = nn.Sequential(
            *convolution(in_channels, reduce5, 1),
            nn.ReLU(),
            *convolution(reduce5, five, 3),
            nn.ReLU(),
            *convolution(five, five, 3),
        )
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), *convolution(in_channels, pool, 1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)]
        out: Tensor = self.relu(torch.cat(branches, dim=1))
        return out


def convolution(in_channels: int, channels: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    """With its normalisation. Height and width stay."""
    return nn.Conv2d(in_channels, channels, kernel, padding=kernel // 2), nn.BatchNorm2d(channels)


# Of each stage, its modules: the numbers of Inception after in_channels.
STAGES: tuple[tuple[tuple[int, int, int, int, int, int], ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)


class GoogLeNet(nn.Module):
    """Three stages at resolutions 1, 1/2, 1/4."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(*convolution(input_shape[0], STEM, 3), nn.ReLU())
        channels = STEM
        stages = []
        for modules in STAGES:
            stages.append(nn.Sequential())
            for widths in modules:
                module = Inception(channels, *widths)
                stages[-1].append(module)
                channels = module.out_channels
        self.stage1, self.stage2, self.stage3 = stages
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.pool(self.stage1(self.stem(x)))
        x = self.stage3(self.pool(self.stage2(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    yield ModelSpec(
        name="googlenet",
        factory=GoogLeNet,
        summary="GoogLeNet with batch normalisation and the 3x3 CIFAR stem",
        stem="stem",
        stages=("stage1", "stage2", "stage3"),
        pre_activations=tuple(
            f"stage{number}.{len(modules) - 1}.relu" for number, modules in enumerate(STAGES, start=1)
        ),
        classifier="fc",
        paper="Szegedy et al., Going Deeper with Convolutions, CVPR 2015",
        revision=1,
    )
