"""The residual networks of the CIFAR experiments, in the sizes that distillation papers compare.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2: a 3x3 stem, three stages
of n basic blocks (depth 6n + 2) at resolutions 1, 1/2, 1/4, global average pooling, one linear layer. Two conventions
come from the distillation benchmark of Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020:
where the shape changes, the shortcut is a 1x1 convolution with batch normalisation (the paper pads with zeros), and
"x4" networks have a stem of 32 and stages of 64, 128, 256 channels.

resnet14x1_4 is of no paper: resnet14 with 1.4 times the channels and so twice the operations, to set beside what costs
as much in another way, as two networks or one with exits.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

Widths = tuple[int, int, int, int]

NARROW: Widths = (16, 16, 32, 64)
WIDE: Widths = (32, 64, 128, 256)
TWICE: Widths = (22, 22, 45, 90)

# Name: depth, channels of the stem and of the three stages.
MEMBERS: dict[str, tuple[int, Widths]] = {
    "resnet8": (8, NARROW),
    "resnet14": (14, NARROW),
    "resnet14x1_4": (14, TWICE),
    "resnet20": (20, NARROW),
    "resnet32": (32, NARROW),
    "resnet44": (44, NARROW),
    "resnet56": (56, NARROW),
    "resnet110": (110, NARROW),
    "resnet8x4": (8, WIDE),
    "resnet32x4": (32, WIDE),
}


class BasicBlock(nn.Module):
    """relu(F(x) + shortcut(x)), F two 3x3 convolutions. [N, C_in, H, W] to [N, C_out, H / stride, W / stride]."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )
        # A module of its own, so that the sum before it can be tapped.
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        out: Tensor = self.relu2(x + shortcut)
        return out


class CifarResNet(nn.Module):
    """depth = 6n + 2; widths: channels of the stem and of the three stages."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], depth: int, widths: Widths) -> None:
        super().__init__()
        stem, *stages = widths
        blocks = blocks_per_stage(depth)
        self.conv1 = nn.Conv2d(input_shape[0], stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU()
        self.layer1 = make_stage(stem, stages[0], blocks, stride=1)
        self.layer2 = make_stage(stages[0], stages[1], blocks, stride=2)
        self.layer3 = make_stage(stages[1], stages[2], blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(stages[2], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def blocks_per_stage(depth: int) -> int:
    """n of depth = 6n + 2."""
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"depth {depth} is not of the form 6n + 2")
    return (depth - 2) // 6


def make_stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """`blocks` basic blocks, of which the first changes channels and resolution."""
    first = BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (depth, widths) in MEMBERS.items():
        last = blocks_per_stage(depth) - 1
        yield ModelSpec(
            name=name,
            factory=partial(CifarResNet, depth=depth, widths=widths),
            summary=f"CIFAR ResNet of depth {depth}, channels {', '.join(map(str, widths))}",
            stem="relu",
            stages=("layer1", "layer2", "layer3"),
            pre_activations=tuple(f"layer{stage}.{last}.relu2" for stage in (1, 2, 3)),
            norms=tuple(f"layer{stage}.{last}.bn2" for stage in (1, 2, 3)),
            classifier="fc",
            paper="He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, CVPR 2016",
            revision=1,
        )
