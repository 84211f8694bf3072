"""MobileNet and MobileNetV2, as distillation papers use them on CIFAR.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", arXiv 1704.04861,
table 1. mobilenet_v1 is the CIFAR form that MEAL has among its students: the stem has stride 1, so that images are
halved four times. Its stages are the last maps at each resolution. (MEAL taps the stem and the end.)

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2.
mobilenet_v2 is the student of the CIFAR-100 benchmark of Tian, Krishnan, Isola, "Contrastive Representation
Distillation", ICLR 2020: expansion 6 and half the channels, the last convolution's 1280 excepted. As there, the blocks
with 24 channels have stride 1, not 2; the activation is ReLU, not ReLU6; and the first block has a 1x1 convolution too,
which expands nothing. Its stages are the four that are tapped there. They end without an activation, and what is
declared as their pre-activations are, as there, the stages' outputs themselves (the next layer's input).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise

# MobileNet: channels of the stem, and of each block by stages; a stage's first block halves maps, but for the first.
STEM = 32
SEPARABLE = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))

# MobileNetV2: by stages, the table's rows: expansion, channels at width 1, blocks, stride of the first of them.
INVERTED = (
    ((1, 16, 1, 1), (6, 24, 2, 1)),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2), (6, 96, 3, 1)),
    ((6, 160, 3, 2), (6, 320, 1, 1)),
)
LAST = 1280


class SeparableBlock(nn.Module):
    """A 3x3 convolution per channel and a 1x1 across them. [N, C_in, H, W] to [N, channels, H / stride, W / stride]."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(self.bn2(self.conv2(x)))
        return out


class MobileNetV1(nn.Module):
    """Five stages at resolutions 1 to 1/16."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        inputs = (STEM, *(widths[-1] for widths in SEPARABLE[:-1]))
        self.stage1, self.stage2, self.stage3, self.stage4, self.stage5 = (
            separable_stage(channels, widths, stride=1 if number == 0 else 2)
            for number, (channels, widths) in enumerate(zip(inputs, SEPARABLE, strict=True))
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(SEPARABLE[-1][-1], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.stage5(self.stage4(self.stage3(self.stage2(self.stage1(x)))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def separable_stage(in_channels: int, widths: Sequence[int], stride: int) -> nn.Sequential:
    """A block for each of `widths`, of which the first has the stride."""
    inputs = (in_channels, *widths[:-1])
    strides = (stride, *(1 for _ in widths[:-1]))
    return nn.Sequential(*(SeparableBlock(*sizes) for sizes in zip(inputs, widths, strides, strict=True)))


class InvertedResidual(nn.Module):
    """F(x), or F(x) + x where the shape stays: a 1x1 convolution to `expansion` times the channels, a 3x3 per channel,
    a 1x1 to `channels` without an activation. [N, C_in, H, W] to [N, channels, H / stride, W / stride].
    """

    def __init__(self, in_channels: int, channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = expansion * in_channels
        self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(middle, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.adds = stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        inner = self.relu1(self.bn1(self.conv1(x)))
        inner = self.relu2(self.bn2(self.conv2(inner)))
        out: Tensor = self.bn3(self.conv3(inner))
        return x + out if self.adds else out


class MobileNetV2(nn.Module):
    """width: the factor of the table's channels. Four stages at resolutions 1/2 to 1/16."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], width: float = 0.5) -> None:
        super().__init__()
        stem = int(STEM * width)
        ends = [int(rows[-1][1] * width) for rows in INVERTED]
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], stem, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            inverted_stage(channels, rows, width) for channels, rows in zip((stem, *ends[:-1]), INVERTED, strict=True)
        )
        self.conv = nn.Conv2d(ends[-1], LAST, 1, bias=False)
        self.bn = nn.BatchNorm2d(LAST)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(LAST, num_classes)
        initialise(self)
        nn.init.normal_(self.fc.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.stage4(self.stage3(self.stage2(self.stage1(self.stem(x)))))
        x = self.relu(self.bn(self.conv(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def inverted_stage(in_channels: int, rows: Sequence[tuple[int, int, int, int]], width: float) -> nn.Sequential:
    """The blocks of the table's `rows`."""
    stage = nn.Sequential()
    for expansion, channels, blocks, stride in rows:
        for number in range(blocks):
            stage.append(InvertedResidual(in_channels, int(channels * width), stride if number == 0 else 1, expansion))
            in_channels = int(channels * width)
    return stage


# What RepDistiller's and mdistiller's files of MobileNetV2 call what stands outside the blocks, and a block's layers.
OUTSIDE = {"conv1.": "stem.", "conv2.0.": "conv.", "conv2.1.": "bn.", "classifier.0.": "fc."}
INSIDE = ("conv1", "bn1", "", "conv2", "bn2", "", "conv3", "bn3")


def renamed(tensor: str) -> str:
    """A name in these files, as the network has it: they count the blocks within each row of the table."""
    if found := re.match(r"blocks\.(\d+)\.(\d+)\.conv\.(\d+)\.", tensor):
        row, block, layer = map(int, found.groups())
        for stage, rows in enumerate(INVERTED, start=1):
            if row < len(rows):
                before = sum(blocks for _, _, blocks, _ in rows[:row])
                return f"stage{stage}.{before + block}.{INSIDE[layer]}.{tensor[found.end() :]}"
            row -= len(rows)
    outside = next((name for name in OUTSIDE if tensor.startswith(name)), "")
    return OUTSIDE[outside] + tensor.removeprefix(outside) if outside else tensor


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    v1_ends = [f"stage{stage}.{len(widths) - 1}" for stage, widths in enumerate(SEPARABLE, start=1)]
    yield ModelSpec(
        name="mobilenet_v1",
        factory=MobileNetV1,
        summary="MobileNet with a stem of stride 1 for CIFAR",
        stem="relu",
        stages=tuple(f"stage{number}" for number in range(1, 6)),
        pre_activations=tuple(f"{end}.relu2" for end in v1_ends),
        norms=tuple(f"{end}.bn2" for end in v1_ends),
        classifier="fc",
        paper="Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017",
        revision=1,
    )
    v2_ends = [f"stage{stage}.{sum(row[2] for row in rows) - 1}" for stage, rows in enumerate(INVERTED, start=1)]
    yield ModelSpec(
        name="mobilenet_v2",
        factory=MobileNetV2,
        summary="MobileNetV2 of half the width, the student of CIFAR-100 distillation benchmarks",
        stem="stem",
        stages=tuple(f"stage{number}" for number in range(1, 5)),
        pre_activations=("stage2", "stage3", "stage4", "conv"),
        norms=tuple(f"{end}.bn3" for end in v2_ends),
        classifier="fc",
        renamed=renamed,
        paper="Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018",
        revision=1,
    )
