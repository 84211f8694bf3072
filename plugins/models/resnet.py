"""Residual networks with four stages, as made for ImageNet, with the stem that CIFAR papers give them.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1: four stages of basic blocks
(depths 18, 34) or bottleneck blocks (50, 101, 152; they end in four times as many channels), 64, 128, 256, 512
channels at resolutions 1, 1/2, 1/4, 1/8, global average pooling, one linear layer. For images of 32x32 the stem is one
3x3 convolution with stride 1 and there is no max-pooling, so that the last stage still has maps of 4x4. The stride of
a bottleneck block is in its 3x3 convolution, as in torchvision (the paper has it in the first 1x1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from .cifar_resnet import BasicBlock

WIDTHS = (64, 128, 256, 512)


class Bottleneck(nn.Module):
    """relu(F(x) + shortcut(x)), F a 1x1, a 3x3 and a 1x1 convolution, the last to 4 times as many channels.

    [N, C_in, H, W] to [N, 4 channels, H / stride, W / stride].
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != 4 * channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, 4 * channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(4 * channels),
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


Block = type[BasicBlock] | type[Bottleneck]

# Name: block, blocks in each stage.
MEMBERS: dict[str, tuple[Block, tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}


class ResNet(nn.Module):
    """blocks: how many in each of the four stages."""

    def __init__(
        self, num_classes: int, input_shape: tuple[int, int, int], block: Block, blocks: tuple[int, int, int, int]
    ) -> None:
        super().__init__()
        expansion = 4 if block is Bottleneck else 1
        self.conv1 = nn.Conv2d(input_shape[0], WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.relu = nn.ReLU()
        inputs = (WIDTHS[0], *(expansion * width for width in WIDTHS[:-1]))
        stages = [
            make_stage(block, in_channels, width, count, stride=1 if number == 0 else 2)
            for number, (in_channels, width, count) in enumerate(zip(inputs, WIDTHS, blocks, strict=True))
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(expansion * WIDTHS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def make_stage(block: Block, in_channels: int, channels: int, count: int, stride: int) -> nn.Sequential:
    """`count` blocks, of which the first changes channels and resolution."""
    expansion = 4 if block is Bottleneck else 1
    first = block(in_channels, channels, stride)
    return nn.Sequential(first, *(block(expansion * channels, channels, 1) for _ in range(count - 1)))


def renamed(tensor: str) -> str:
    """A name in files of RepDistiller and mdistiller, as the network has it."""
    return re.sub(r"^linear\.", "fc.", tensor.replace(".shortcut.", ".downsample."))


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (block, blocks) in MEMBERS.items():
        ends = [f"layer{stage}.{count - 1}" for stage, count in enumerate(blocks, start=1)]
        last = 3 if block is Bottleneck else 2
        yield ModelSpec(
            name=name,
            factory=partial(ResNet, block=block, blocks=blocks),
            summary=f"ResNet of depth {name.removeprefix('resnet')} with four stages and the 3x3 stem of CIFAR papers",
            stem="relu",
            stages=("layer1", "layer2", "layer3", "layer4"),
            pre_activations=tuple(f"{end}.relu{last}" for end in ends),
            norms=tuple(f"{end}.bn{last}" for end in ends),
            classifier="fc",
            renamed=renamed,
            paper="He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, CVPR 2016",
            revision=1,
        )
