"""Dual path networks, in the CIFAR form that MEAL has among its teachers.

Chen, Li, Xiao, Jin, Yan, Feng, "Dual Path Networks", NIPS 2017: of what a block returns, the first channels are added
to the block's input (the residual path) and the others are appended to it (the dense path), so that a stage's maps grow
by a few channels per block. Widths and numbers of blocks are those of DPN-92, whose 3x3 convolutions have 32 groups.

The paper has no CIFAR networks. The form here is the one that is common for CIFAR and that MEAL trains: a 3x3 stem with
stride 1 and no max-pooling; normalisation and ReLU after the convolutions, the last ReLU after sum and concatenation
(in the paper, before them); a stage's first shortcut has room for one growth of the dense path (in the paper, two).

A stage's last normalisation sees what its last block adds, which is part of the channels only: no norms are declared.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise

STEM = 64
GROUPS = 32
MIDDLE = (96, 192, 384, 768)
RESIDUAL = (256, 512, 1024, 2048)
GROWTH = (16, 32, 24, 128)

# Name: blocks in each stage.
MEMBERS: dict[str, tuple[int, int, int, int]] = {
    "dpn26": (2, 2, 2, 2),
    "dpn92": (3, 4, 20, 3),
}


class DualPathBlock(nn.Module):
    """A bottleneck; `residual` of its channels are added to the input, `growth` are appended.

    [N, C_in, H, W] to [N, C_in + growth, H, W]; a stage's first block, `first`, projects its input to residual + growth
    channels: to [N, residual + 2 growth, H / stride, W / stride].
    """

    def __init__(self, in_channels: int, middle: int, residual: int, growth: int, stride: int, first: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=stride, padding=1, groups=GROUPS, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(middle, residual + growth, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(residual + growth)
        self.projection: nn.Module | None = None
        if first:
            self.projection = nn.Sequential(
                nn.Conv2d(in_channels, residual + growth, 1, stride=stride, bias=False),
                nn.BatchNorm2d(residual + growth),
            )
        # A module of its own, so that what comes before it can be tapped.
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        old = x if self.projection is None else self.projection(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        added = old[:, : self.residual] + x[:, : self.residual]
        out: Tensor = self.relu3(torch.cat([added, old[:, self.residual :], x[:, self.residual :]], dim=1))
        return out


class DPN(nn.Module):
    """blocks: how many in each of the four stages."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        widths = (STEM, *(stage_channels(number, count) for number, count in enumerate(blocks)))
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            make_stage(number, widths[number], count) for number, count in enumerate(blocks)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(widths[-1], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def stage_channels(number: int, blocks: int) -> int:
    """Channels after so many blocks of a stage; stages are numbered from 0."""
    return RESIDUAL[number] + (blocks + 1) * GROWTH[number]


def make_stage(number: int, in_channels: int, blocks: int) -> nn.Sequential:
    """The blocks of a stage, of which the first changes the resolution, but for stage 0."""
    sizes = (MIDDLE[number], RESIDUAL[number], GROWTH[number])
    first = DualPathBlock(in_channels, *sizes, stride=1 if number == 0 else 2, first=True)
    later = (DualPathBlock(stage_channels(number, k), *sizes, stride=1, first=False) for k in range(1, blocks))
    return nn.Sequential(first, *later)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, blocks in MEMBERS.items():
        yield ModelSpec(
            name=name,
            factory=partial(DPN, blocks=blocks),
            summary=f"dual path network of depth {name.removeprefix('dpn')} with the 3x3 CIFAR stem",
            stem="relu",
            stages=("layer1", "layer2", "layer3", "layer4"),
            pre_activations=tuple(f"layer{stage}.{count - 1}.relu3" for stage, count in enumerate(blocks, start=1)),
            classifier="fc",
            paper="Chen, Li, Xiao, Jin, Yan, Feng, Dual Path Networks, NIPS 2017",
            revision=1,
        )
