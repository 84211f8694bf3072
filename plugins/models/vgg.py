"""VGG networks with batch normalisation, as distillation papers use them on CIFAR.

Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1: five
stages of 3x3 convolutions. The CIFAR form comes from RepDistiller (Tian, Krishnan, Isola, "Contrastive Representation
Distillation", ICLR 2020): batch normalisation after each convolution, 2x2 max-pooling after the first three stages
only (after the fourth too for images of 64x64 and more), global average pooling and one linear layer in place of the
three large ones, and the eight-layer vgg8. Convolutions keep their biases, as there. So are features: those of the
first block are the stem, and the other four blocks are the stages that methods match. A feature is what a block's last
ReLU returns, before pooling; a pre-activation is what that ReLU is given. mdistiller cuts them in the same way. Images
must be at least 8x8.

MEAL (Shen, He, Xue, AAAI 2019) trains another CIFAR form, which is common too: max-pooling after all five stages, as in
the paper, down to one pixel of a 32x32 image. Those are the "five_pools" members. They have the same parameters, but
five stages and no stem: the stages are the poolings, as MEAL taps them. Pre-activations are what comes before the ReLU
before the pooling, at twice the stage's height and width. Images must be at least 32x32.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

WIDTHS = (64, 128, 256, 512, 512)

# Name: convolutions in each stage, and whether maps are pooled after all five stages.
MEMBERS: dict[str, tuple[tuple[int, ...], bool]] = {
    "vgg8": ((1, 1, 1, 1, 1), False),
    "vgg11": ((1, 1, 2, 2, 2), False),
    "vgg13": ((2, 2, 2, 2, 2), False),
    "vgg16": ((2, 2, 3, 3, 3), False),
    "vgg19": ((2, 2, 4, 4, 4), False),
    "vgg16_five_pools": ((2, 2, 3, 3, 3), True),
    "vgg19_five_pools": ((2, 2, 4, 4, 4), True),
}


class VGG(nn.Module):
    """convolutions: how many in each of the five stages; five_pools: whether each of them is followed by pooling."""

    def __init__(
        self,
        num_classes: int,
        input_shape: tuple[int, int, int],
        convolutions: tuple[int, ...],
        five_pools: bool = False,
    ) -> None:
        super().__init__()
        channels, height, width = input_shape
        halvings, least = ("five", 32) if five_pools else ("three", 8)
        if min(height, width) < least:
            raise ValueError(
                f"VGG halves images {halvings} times and needs at least {least}x{least}, not {height}x{width}"
            )
        inputs = (channels, *WIDTHS[:-1])
        stages = [make_stage(*sizes) for sizes in zip(inputs, WIDTHS, convolutions, strict=True)]
        self.stage1, self.stage2, self.stage3, self.stage4, self.stage5 = stages
        self.pool1, self.pool2, self.pool3 = nn.MaxPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(2)
        self.pool4 = nn.MaxPool2d(2) if five_pools or min(height, width) >= 64 else nn.Identity()
        self.pool5 = nn.MaxPool2d(2) if five_pools else nn.Identity()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.pool1(self.stage1(x))
        x = self.pool2(self.stage2(x))
        x = self.pool3(self.stage3(x))
        x = self.pool4(self.stage4(x))
        x = self.pool5(self.stage5(x))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def make_stage(in_channels: int, channels: int, convolutions: int) -> nn.Sequential:
    """3x3 convolutions, each with batch normalisation and ReLU, numbered from 1. Height and width stay."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number in range(1, convolutions + 1):
        layers[f"conv{number}"] = nn.Conv2d(in_channels if number == 1 else channels, channels, 3, padding=1)
        layers[f"norm{number}"] = nn.BatchNorm2d(channels)
        layers[f"act{number}"] = nn.ReLU()
    return nn.Sequential(layers)


# What the three layers of a convolution are called, by their number in a stage modulo 3.
LAYERS = ("conv", "norm", "act")


def renamed(tensor: str) -> str:
    """A name in files of RepDistiller and mdistiller, as the network has it: their blocks number all layers from 0."""
    if found := re.match(r"block(\d+)\.(\d+)\.", tensor):
        block, layer = int(found[1]), int(found[2])
        return f"stage{block + 1}.{LAYERS[layer % 3]}{layer // 3 + 1}.{tensor[found.end() :]}"
    return re.sub(r"^classifier\.", "fc.", tensor)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (convolutions, five_pools) in MEMBERS.items():
        # Block and its last convolution. The first block is a stage only where all five are pooled.
        ends = tuple(enumerate(convolutions, start=1))[0 if five_pools else 1 :]
        pooling = "pooled after each of five stages" if five_pools else "pooled three times"
        yield ModelSpec(
            name=name,
            factory=partial(VGG, convolutions=convolutions, five_pools=five_pools),
            summary=f"VGG with batch normalisation, {sum(convolutions)} convolutions and a linear layer, {pooling}",
            stem="" if five_pools else "stage1",
            stages=tuple(f"{'pool' if five_pools else 'stage'}{stage}" for stage, _ in ends),
            pre_activations=tuple(f"stage{stage}.act{last}" for stage, last in ends),
            norms=tuple(f"stage{stage}.norm{last}" for stage, last in ends),
            classifier="fc",
            renamed=renamed,
            paper="Simonyan, Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, ICLR 2015",
            revision=1 if five_pools else 2,
        )
