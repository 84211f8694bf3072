"""Wide residual networks, in the sizes that distillation papers compare.

Zagoruyko, Komodakis, "Wide Residual Networks", BMVC 2016: a 3x3 stem, three stages of n blocks (depth 6n + 4) with
16k, 32k, 64k channels at resolutions 1, 1/2, 1/4, batch normalisation and ReLU before each convolution, global average
pooling, one linear layer. wrn_d_k has depth d and width k. Dropout is 0, as in RepDistiller and mdistiller.

BYOT (Zhang et al., ICCV 2019) names WideResNet20-8, 44-8 and 28-12, of which 28 alone is 6n + 4. Others count depth as
6n + 2, without the projections of two shortcuts: 20-8 and 44-8 are then wrn_22_8 (n = 3) and wrn_46_8 (n = 7) here.
That they are meant is likely and not established, as the authors published no code of them.

A stage's feature is the sum that its last block returns. The normalisation and the activation of that sum belong to
the next stage's first block (after the last stage: to the network), and so do the declared norms and pre-activations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

# Name: depth, width.
MEMBERS: dict[str, tuple[int, int]] = {
    "wrn_16_1": (16, 1),
    "wrn_16_2": (16, 2),
    "wrn_16_4": (16, 4),
    "wrn_22_8": (22, 8),
    "wrn_28_4": (28, 4),
    "wrn_28_10": (28, 10),
    "wrn_28_12": (28, 12),
    "wrn_40_1": (40, 1),
    "wrn_40_2": (40, 2),
    "wrn_40_4": (40, 4),
    "wrn_46_8": (46, 8),
}


class WideBlock(nn.Module):
    """F(a) + shortcut, a = relu(norm(x)), F two 3x3 convolutions with norm and ReLU between them.

    The shortcut is x, or a 1x1 convolution of a where the channels change. [N, C_in, H, W] to [N, C_out, H / stride,
    W / stride].
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.relu1(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        out: Tensor = self.conv2(self.relu2(self.bn2(self.conv1(activated)))) + shortcut
        return out


class WideResNet(nn.Module):
    """depth = 6n + 4; width: the factor k of the channels."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], depth: int, width: int) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"depth {depth} is not of the form 6n + 4")
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)
        self.layer1 = make_stage(16, 16 * width, blocks, stride=1)
        self.layer2 = make_stage(16 * width, 32 * width, blocks, stride=2)
        self.layer3 = make_stage(32 * width, 64 * width, blocks, stride=2)
        self.bn = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        x = self.relu(self.bn(x))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def make_stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    """`blocks` blocks, of which the first changes channels and resolution."""
    first = WideBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(WideBlock(channels, channels, 1) for _ in range(blocks - 1)))


def renamed(tensor: str) -> str:
    """A name in files of RepDistiller and mdistiller, as the network has it."""
    tensor = re.sub(r"^block(\d)\.layer\.", r"layer\1.", tensor).replace(".convShortcut.", ".shortcut.")
    return re.sub(r"^bn1\.", "bn.", tensor)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (depth, width) in MEMBERS.items():
        yield ModelSpec(
            name=name,
            factory=partial(WideResNet, depth=depth, width=width),
            summary=f"wide residual network of depth {depth}, {width} times as wide as the CIFAR ResNet",
            stem="conv1",
            stages=("layer1", "layer2", "layer3"),
            pre_activations=("layer2.0.relu1", "layer3.0.relu1", "relu"),
            norms=("layer2.0.bn1", "layer3.0.bn1", "bn"),
            classifier="fc",
            renamed=renamed,
            paper="Zagoruyko, Komodakis, Wide Residual Networks, BMVC 2016",
            revision=1,
        )
