"""Pyramidal residual networks for CIFAR, additive: channels grow by the same amount at every block.

Han, Kim, Kim, "Deep Pyramidal Residual Networks", CVPR 2017. Three stages of n blocks at resolutions 1, 1/2, 1/4; block
k of the N = 3n has round(16 + alpha k / N) channels, four times as many at its end if it is a bottleneck. Depth is
6n + 2 with basic blocks and 9n + 2 with bottlenecks. A block is norm, convolution, norm, ReLU, convolution, norm (a
bottleneck: one more ReLU and convolution), without ReLU before the first convolution and after the sum. Shortcuts have
no parameters: 2x2 average pooling where the resolution changes, and zeros for the channels that are new.
pyramidnet_d_a has depth d and alpha a.

BYOT's PyramidNet101-240 is pyramidnet_101_240 here: 101 is 9n + 2 with n = 11 and not of the form 6n + 2, so it has
bottlenecks. (Its authors published no code of it; a four-stage ImageNet network of that depth also exists.)

A stage's feature is the sum that its last block returns. Its normalisation belongs to the next stage's first block
(after the last stage: to the network). What is declared as pre-activation is that normalised sum, as in the published
code of the overhaul of feature distillation (Heo et al., ICCV 2019), though a ReLU follows it only after the last
stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise

STEM = 16

# Name: depth, alpha, whether blocks are bottlenecks.
MEMBERS: dict[str, tuple[int, int, bool]] = {
    "pyramidnet_110_84": (110, 84, False),
    "pyramidnet_110_270": (110, 270, False),
    "pyramidnet_101_240": (101, 240, True),
    "pyramidnet_200_240": (200, 240, True),
}


class PyramidBlock(nn.Module):
    """F(x) + shortcut(x). [N, C_in, H, W] to [N, C_out, H / stride, W / stride], C_out `channels`, or 4 times that."""

    def __init__(self, in_channels: int, channels: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        if bottleneck:
            self.out_channels = 4 * channels
            self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
            between: list[nn.Module] = [nn.Conv2d(channels, channels, 3, stride=stride, padding=1, bias=False)]
            between += [nn.BatchNorm2d(channels), nn.ReLU()]
            last = nn.Conv2d(channels, self.out_channels, 1, bias=False)
        else:
            self.out_channels = channels
            self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
            between = []
            last = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.rest = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), *between, last, nn.BatchNorm2d(self.out_channels)
        )
        self.pool = nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        missing = self.out_channels - x.shape[1]
        shortcut = F.pad(self.pool(x), (0, 0, 0, 0, 0, missing))
        out: Tensor = self.rest(self.conv1(self.bn1(x))) + shortcut
        return out


class PyramidNet(nn.Module):
    """depth = 6n + 2, or 9n + 2 with bottlenecks; alpha: what is added to 16 channels over all blocks."""

    def __init__(
        self, num_classes: int, input_shape: tuple[int, int, int], depth: int, alpha: int, bottleneck: bool
    ) -> None:
        super().__init__()
        count = blocks_per_stage(depth, bottleneck)
        channels = [round(STEM + alpha * block / (3 * count)) for block in range(1, 3 * count + 1)]
        ends = [(4 if bottleneck else 1) * channels[stage * count - 1] for stage in (1, 2, 3)]
        self.conv1 = nn.Conv2d(input_shape[0], STEM, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.layer1 = make_stage(STEM, channels[:count], 1, bottleneck)
        self.layer2 = make_stage(ends[0], channels[count : 2 * count], 2, bottleneck)
        self.layer3 = make_stage(ends[1], channels[2 * count :], 2, bottleneck)
        self.bn = nn.BatchNorm2d(ends[2])
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(ends[2], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.bn1(self.conv1(x))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.relu(self.bn(x))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def blocks_per_stage(depth: int, bottleneck: bool) -> int:
    """n of depth = 6n + 2, or of 9n + 2 with bottlenecks."""
    layers = 9 if bottleneck else 6
    if depth < layers + 2 or (depth - 2) % layers:
        raise ValueError(f"depth {depth} is not of the form {layers}n + 2")
    return (depth - 2) // layers


def make_stage(in_channels: int, channels: Sequence[int], stride: int, bottleneck: bool) -> nn.Sequential:
    """One block for each of `channels`, of which the first changes the resolution."""
    stage = nn.Sequential()
    for number, width in enumerate(channels):
        block = PyramidBlock(in_channels, width, stride if number == 0 else 1, bottleneck)
        stage.append(block)
        in_channels = block.out_channels
    return stage


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (depth, alpha, bottleneck) in MEMBERS.items():
        kind = "bottleneck" if bottleneck else "basic"
        yield ModelSpec(
            name=name,
            factory=partial(PyramidNet, depth=depth, alpha=alpha, bottleneck=bottleneck),
            summary=f"pyramidal ResNet of depth {depth}, alpha {alpha}, {kind} blocks",
            stem="bn1",
            stages=("layer1", "layer2", "layer3"),
            pre_activations=("layer2.0.conv1", "layer3.0.conv1", "relu"),
            norms=("layer2.0.bn1", "layer3.0.bn1", "bn"),
            classifier="fc",
            paper="Han, Kim, Kim, Deep Pyramidal Residual Networks, CVPR 2017",
            revision=1,
        )
