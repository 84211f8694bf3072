"""Densely connected networks with bottlenecks and compression (DenseNet-BC) for CIFAR.

Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", CVPR 2017: every layer sees the maps
of all earlier layers of its block and appends k ("growth") of its own, by a 1x1 convolution to 4k and a 3x3 to k
channels, each after normalisation and ReLU. Between blocks a transition halves channels (1x1 convolution) and
resolution (average pooling). The stem is a 3x3 convolution to 2k channels, the end normalisation, ReLU, global average
pooling and one linear layer. densenet_bc_L_k has three equal blocks and depth L, as in the paper's table 2.

densenet_bc_116_40 is the DenseNet of MEAL's code: blocks of 8, 24, 24 layers, k = 40, and pooling to 2x2, not 1x1, so
that the linear layer has four times as many inputs. densenet121 has the four blocks of the paper's ImageNet network
behind the CIFAR stem, as public CIFAR code has it.

A stage's feature is what a block appended to its input, before normalisation: norm and pre-activation are those of the
transition that follows (after the last block: of the network).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise


@dataclass(frozen=True)
class Sizes:
    """Layers of each block, k, and the height and width of the maps that the linear layer sees."""

    layers: tuple[int, ...]
    growth: int
    pooled: int = 1


MEMBERS: dict[str, Sizes] = {
    "densenet_bc_100_12": Sizes((16, 16, 16), 12),
    "densenet_bc_190_40": Sizes((31, 31, 31), 40),
    "densenet_bc_250_24": Sizes((41, 41, 41), 24),
    "densenet_bc_116_40": Sizes((8, 24, 24), 40, pooled=2),
    "densenet121": Sizes((6, 12, 24, 16), 32),
}


class DenseLayer(nn.Module):
    """x with F(x) behind it, F a 1x1 and a 3x3 convolution. [N, C, H, W] to [N, C + growth, H, W]."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        new = self.conv2(self.relu2(self.norm2(self.conv1(self.relu1(self.norm1(x))))))
        return torch.cat([x, new], dim=1)


class Transition(nn.Module):
    """[N, C, H, W] to [N, C // 2, H // 2, W // 2]."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pool(self.conv(self.relu(self.norm(x))))
        return out


class DenseNet(nn.Module):
    """Blocks and transitions in turn: block1, transition1, block2, ..."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], sizes: Sizes) -> None:
        super().__init__()
        channels_in, height, width = input_shape
        halvings = len(sizes.layers) - 1
        if min(height, width) < 2**halvings:
            least = f"{2**halvings}x{2**halvings}"
            raise ValueError(
                f"this DenseNet halves images {halvings} times and needs at least {least}, not {height}x{width}"
            )
        channels = 2 * sizes.growth
        self.conv1 = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        self.features = nn.Sequential()
        for number, layers in enumerate(sizes.layers, start=1):
            self.features.add_module(f"block{number}", make_block(channels, sizes.growth, layers))
            channels += layers * sizes.growth
            if number < len(sizes.layers):
                self.features.add_module(f"transition{number}", Transition(channels))
                channels //= 2
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(sizes.pooled)
        self.fc = nn.Linear(channels * sizes.pooled**2, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.relu(self.norm(self.features(self.conv1(x))))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def make_block(in_channels: int, growth: int, layers: int) -> nn.Sequential:
    """[N, C, H, W] to [N, C + layers * growth, H, W]."""
    return nn.Sequential(*(DenseLayer(in_channels + number * growth, growth) for number in range(layers)))


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, sizes in MEMBERS.items():
        blocks = len(sizes.layers)
        ends = [f"features.transition{number}." for number in range(1, blocks)] + [""]
        yield ModelSpec(
            name=name,
            factory=partial(DenseNet, sizes=sizes),
            summary=f"DenseNet-BC, blocks of {', '.join(map(str, sizes.layers))} layers, growth {sizes.growth}",
            stem="conv1",
            stages=tuple(f"features.block{number}" for number in range(1, blocks + 1)),
            pre_activations=tuple(f"{end}relu" for end in ends),
            norms=tuple(f"{end}norm" for end in ends),
            classifier="fc",
            paper="Huang, Liu, van der Maaten, Weinberger, Densely Connected Convolutional Networks, CVPR 2017",
            revision=1,
        )
