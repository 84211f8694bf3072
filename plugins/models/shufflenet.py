"""ShuffleNet and ShuffleNetV2, as distillation papers use them on CIFAR.

Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", CVPR 2018:
bottlenecks of grouped 1x1 convolutions, whose channels are shuffled across groups. shuffle_v1 has three groups and
stages of 240, 480, 960 channels.

Ma, Zhang, Zheng, Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018: half of
the channels pass by each block, then both halves are shuffled. shuffle_v2 is the member of width 1.

Both are students of the CIFAR-100 benchmark of Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR
2020, which is followed where it departs from the papers: the stem is a 1x1 convolution with stride 1 and no pooling, so
that stages have maps of 1/2, 1/4, 1/8; in V1 a ReLU follows the convolution per channel too; and all weights begin as
torch makes them.

V2's last ReLU stands here behind concatenation and shuffle. The half that passes by has been through a ReLU before, so
it is the same network, and the stage has a pre-activation of all its channels; its last normalisation sees half of
them, so that no norms are declared for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

STEM = 24
GROUPS = 3
V1_WIDTHS = (240, 480, 960)
V1_BLOCKS = (4, 8, 4)
V2_WIDTHS = (116, 232, 464)
V2_BLOCKS = (4, 8, 4)
V2_LAST = 1024


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Channels [N, C, H, W], dealt from the groups in turn: the first of each, then the second of each."""
    dealt: Tensor = x.unflatten(1, (groups, -1)).transpose(1, 2)
    return dealt.flatten(1, 2)


class ShuffleUnit(nn.Module):
    """V1: relu(F(x) + x), or, with stride 2, relu(F(x) behind which is x, pooled).

    [N, C_in, H, W] to [N, channels, H / stride, W / stride]; with stride 1, C_in = channels.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        made = channels - in_channels if stride == 2 else channels
        middle = made // 4
        # The stem has too few channels to be split into groups.
        self.groups = 1 if in_channels == STEM else GROUPS
        self.conv1 = nn.Conv2d(in_channels, middle, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, groups=middle, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(middle, made, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(made)
        self.pool: nn.Module | None = nn.AvgPool2d(3, stride=2, padding=1) if stride == 2 else None
        # A module of its own, so that what comes before it can be tapped.
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        made = shuffle(self.relu1(self.bn1(self.conv1(x))), self.groups)
        made = self.bn3(self.conv3(self.relu2(self.bn2(self.conv2(made)))))
        out: Tensor = self.relu3(made + x if self.pool is None else torch.cat([made, self.pool(x)], dim=1))
        return out


class SplitUnit(nn.Module):
    """V2, stride 1: half of the channels pass by. Keeps the shape [N, C, H, W]. x must not be negative."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        passed, made = x.chunk(2, dim=1)
        made = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(made)))))
        made = self.bn3(self.conv3(made))
        out: Tensor = self.relu3(shuffle(torch.cat([passed, made], dim=1), 2))
        return out


class DownUnit(nn.Module):
    """V2, stride 2: two branches make half of the channels each. [N, C_in, H, W] to [N, channels, H / 2, W / 2]."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.left = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, stride=2, padding=1, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, half, 1, bias=False),
            nn.BatchNorm2d(half),
        )
        self.right = nn.Sequential(
            nn.Conv2d(in_channels, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, stride=2, padding=1, groups=half, bias=False),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.relu(shuffle(torch.cat([self.left(x), self.right(x)], dim=1), 2))
        return out


class ShuffleNetV1(nn.Module):
    """Three stages at resolutions 1/2, 1/4, 1/8."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem = make_stem(input_shape[0])
        inputs = (STEM, *V1_WIDTHS[:-1])
        self.stage1, self.stage2, self.stage3 = (
            nn.Sequential(ShuffleUnit(before, after, 2), *(ShuffleUnit(after, after, 1) for _ in range(blocks - 1)))
            for before, after, blocks in zip(inputs, V1_WIDTHS, V1_BLOCKS, strict=True)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(V1_WIDTHS[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class ShuffleNetV2(nn.Module):
    """Three stages at resolutions 1/2, 1/4, 1/8, and a 1x1 convolution behind them."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.stem = make_stem(input_shape[0])
        inputs = (STEM, *V2_WIDTHS[:-1])
        self.stage1, self.stage2, self.stage3 = (
            nn.Sequential(DownUnit(before, after), *(SplitUnit(after) for _ in range(blocks - 1)))
            for before, after, blocks in zip(inputs, V2_WIDTHS, V2_BLOCKS, strict=True)
        )
        self.conv = nn.Conv2d(V2_WIDTHS[-1], V2_LAST, 1, bias=False)
        self.bn = nn.BatchNorm2d(V2_LAST)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(V2_LAST, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        x = self.relu(self.bn(self.conv(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def make_stem(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, STEM, 1, bias=False), nn.BatchNorm2d(STEM), nn.ReLU())


# What RepDistiller's and mdistiller's files call what is outside the stages, and layers of V2's first unit of a stage.
OUTSIDE = {"conv1": "stem.0", "bn1": "stem.1", "conv2": "conv", "bn2": "bn", "linear": "fc"}
DOWN = {
    "conv1": "left.0", "bn1": "left.1", "conv2": "left.2", "bn2": "left.3", "conv3": "right.0", "bn3": "right.1",
    "conv4": "right.3", "bn4": "right.4", "conv5": "right.5", "bn5": "right.6",
}  # fmt: skip


def renamed_v1(tensor: str) -> str:
    """A name in these files, as the network has it."""
    module, _, rest = tensor.partition(".")
    return f"{OUTSIDE[module]}.{rest}" if module in OUTSIDE else re.sub(r"^layer(\d)\.", r"stage\1.", tensor)


def renamed_v2(tensor: str) -> str:
    """Likewise."""
    found = re.match(r"layer(\d)\.0\.(\w+)\.", tensor)
    if found and found[2] in DOWN:
        return f"stage{found[1]}.0.{DOWN[found[2]]}.{tensor[found.end() :]}"
    return renamed_v1(tensor)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    stages = ("stage1", "stage2", "stage3")
    v1_ends = [f"{stage}.{blocks - 1}" for stage, blocks in zip(stages, V1_BLOCKS, strict=True)]
    v2_ends = [f"{stage}.{blocks - 1}" for stage, blocks in zip(stages, V2_BLOCKS, strict=True)]
    yield ModelSpec(
        name="shuffle_v1",
        factory=ShuffleNetV1,
        summary="ShuffleNet with three groups, the student of CIFAR-100 distillation benchmarks",
        stem="stem",
        stages=stages,
        pre_activations=tuple(f"{end}.relu3" for end in v1_ends),
        norms=tuple(f"{end}.bn3" for end in v1_ends),
        classifier="fc",
        renamed=renamed_v1,
        paper="Zhang, Zhou, Lin, Sun, ShuffleNet: An Extremely Efficient CNN for Mobile Devices, CVPR 2018",
        revision=2,
    )
    yield ModelSpec(
        name="shuffle_v2",
        factory=ShuffleNetV2,
        summary="ShuffleNetV2 of width 1, the student of CIFAR-100 distillation benchmarks",
        stem="stem",
        stages=stages,
        pre_activations=tuple(f"{end}.relu3" for end in v2_ends),
        classifier="fc",
        renamed=renamed_v2,
        paper="Ma, Zhang, Zheng, Sun, ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture, ECCV 2018",
        revision=2,
    )
