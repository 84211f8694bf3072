"""ResNeXt of depth 29, the CIFAR networks of the paper.

Xie, Girshick, Dollar, Tu, He, "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017, section 5.3: a
3x3 stem to 64 channels, three stages of three bottleneck blocks at resolutions 1, 1/2, 1/4, global average pooling, one
linear layer. resnext29_CxDd has cardinality C (groups of the 3x3 convolution) and D channels per group in the first
stage, twice and four times as many in the others; blocks end in 256, 512, 1024 channels whatever C and D are. BYOT's
ResNeXt29-8 is read as 8x64d.

Common public CIFAR code, MEAL's among it, ends blocks in 2 C D channels and has a 1x1 stem. With 2x64d and 32x4d, where
2 C D = 256, that differs by the stem alone; the other members are smaller here, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise

STEM = 64
WIDTHS = (256, 512, 1024)
BLOCKS = 3

# Name: cardinality, channels per group in the first stage.
MEMBERS: dict[str, tuple[int, int]] = {
    "resnext29_2x64d": (2, 64),
    "resnext29_32x4d": (32, 4),
    "resnext29_8x64d": (8, 64),
    "resnext29_16x64d": (16, 64),
}


class GroupedBottleneck(nn.Module):
    """relu(F(x) + shortcut(x)), F a 1x1, a grouped 3x3 and a 1x1 convolution.

    [N, C_in, H, W] to [N, channels, H / stride, W / stride]; `middle` channels in between, in `groups` groups.
    """

    def __init__(self, in_channels: int, middle: int, channels: int, groups: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=stride, padding=1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(middle, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )
        # A module of its own, so that the sum before it can be tapped.
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        out: Tensor = self.relu3(x + shortcut)
        return out


class ResNeXt29(nn.Module):
    """cardinality: groups; base_width: channels of each in the first stage."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], cardinality: int, base_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU()
        middle = cardinality * base_width
        self.layer1 = make_stage(STEM, middle, WIDTHS[0], cardinality, stride=1)
        self.layer2 = make_stage(WIDTHS[0], 2 * middle, WIDTHS[1], cardinality, stride=2)
        self.layer3 = make_stage(WIDTHS[1], 4 * middle, WIDTHS[2], cardinality, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[2], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def make_stage(in_channels: int, middle: int, channels: int, groups: int, stride: int) -> nn.Sequential:
    """Three blocks, of which the first changes channels and resolution."""
    first = GroupedBottleneck(in_channels, middle, channels, groups, stride)
    later = (GroupedBottleneck(channels, middle, channels, groups, 1) for _ in range(BLOCKS - 1))
    return nn.Sequential(first, *later)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (cardinality, base_width) in MEMBERS.items():
        yield ModelSpec(
            name=name,
            factory=partial(ResNeXt29, cardinality=cardinality, base_width=base_width),
            summary=f"ResNeXt of depth 29 for CIFAR, {cardinality} groups of {base_width} channels",
            stem="relu",
            stages=("layer1", "layer2", "layer3"),
            pre_activations=tuple(f"layer{stage}.{BLOCKS - 1}.relu3" for stage in (1, 2, 3)),
            norms=tuple(f"layer{stage}.{BLOCKS - 1}.bn3" for stage in (1, 2, 3)),
            classifier="fc",
            paper="Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017",
            revision=1,
        )
