"""The networks of Wang, Bao, Sun, Zhu, Cao, Yu, "Private Model Compression via Knowledge Distillation", AAAI 2019,
arXiv 1811.05072. For CIFAR-10, as published: a Conv-Large without batch normalisation as the teacher and a thin one as
the student.

    block 1   C3 x3, max pooling 2      teacher 128 channels, student 32
    block 2   C3 x3, max pooling 2      teacher 256, student 64
    block 3   C3, C1, C1                teacher 512, 256, 128, student 64, 32, 32
    head      global average pooling, linear layer

C3, C1: 3x3 and 1x1 convolution with bias, each followed by leaky ReLU of slope 0.1. Weights are drawn from a normal
distribution of deviation 0.1, cut off at two deviations. For 32x32x3 images and ten classes the teacher has 3,119,754
parameters and the student 152,138.

All others are of this family, and ours. Layouts of the paper's networks for MNIST and SVHN, and of its second, wider
students, are not published: here widths are chosen so that the sizes are those recalled of its tables, as near as the
ratios of widths above allow. The small pair, for images of 8x8 or two cores, keeps the ratios. The deviation of weights
is sqrt(2 / inputs of a unit), for with 0.1 the signal dies out in networks as thin as these.

    for             teacher              student          wide student
    MNIST           155,209 (155.21 K)   4,970 (4.97 K)   9,884 (9.88 K)
    SVHN            1,409,808 (1.41 M)   38,442 (0.04 M)  72,258 (0.07 M)
    CIFAR-10                                              389,977 (0.39 M)
    8x8 digits      110,290              5,494

The authors' README and script differ in block 3: the README writes C3 throughout and ends with a valid 3x3 convolution;
only 1x1 convolutions give the sizes above, and the script pads to keep 8x8: both are followed here. How biases start is
not stated; here they are zero. The teacher's first logits are large: train these networks with Adam.

Stages, shallow to deep: the output of the first pooling (the teacher's hint, 16x16x128), of block 2 before its pooling
(the student's guide, 16x16x64), of block 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

PAPER = "Wang, Bao, Sun, Zhu, Cao, Yu, Private Model Compression via Knowledge Distillation, AAAI 2019"


def make_block(in_channels: int, widths: Sequence[int], kernels: Sequence[int] = (3, 3, 3)) -> nn.Sequential:
    """Convolutions that keep height and width, each followed by leaky ReLU."""
    layers: list[nn.Module] = []
    for width, kernel in zip(widths, kernels, strict=True):
        layers += [nn.Conv2d(in_channels, width, kernel, padding=kernel // 2), nn.LeakyReLU(0.1)]
        in_channels = width
    return nn.Sequential(*layers)


class RonaNet(nn.Module):
    """Widths of blocks 1 and 2, and of the three convolutions of block 3; deviation: of the weights, None for one that
    keeps the signal's size.
    """

    def __init__(
        self,
        num_classes: int,
        input_shape: tuple[int, int, int],
        first: int,
        second: int,
        third: tuple[int, int, int],
        deviation: float | None,
    ) -> None:
        super().__init__()
        self.block1 = make_block(input_shape[0], (first,) * 3)
        self.pool1 = nn.MaxPool2d(2, ceil_mode=True)
        self.block2 = make_block(first, (second,) * 3)
        self.pool2 = nn.MaxPool2d(2, ceil_mode=True)
        self.block3 = make_block(second, third, kernels=(3, 1, 1))
        self.fc = nn.Linear(third[-1], num_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                std = deviation or math.sqrt(2 / layer.weight[0].numel())
                nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.pool1(self.block1(x))
        x = self.pool2(self.block2(x))
        logits: Tensor = self.fc(self.block3(x).mean(dim=(2, 3)))
        return logits


WIDTHS: dict[str, tuple[int, int, tuple[int, int, int], float | None]] = {
    "rona_teacher": (128, 256, (512, 256, 128), 0.1),
    "rona_student": (32, 64, (64, 32, 32), 0.1),
    "rona_wide_student": (51, 103, (102, 51, 51), None),
    "rona_mnist_teacher": (28, 58, (110, 54, 29), None),
    "rona_mnist_student": (6, 11, (12, 7, 8), None),
    "rona_mnist_wide_student": (7, 17, (15, 7, 9), None),
    "rona_svhn_teacher": (86, 172, (344, 172, 86), None),
    "rona_svhn_student": (16, 32, (32, 16, 16), None),
    "rona_svhn_wide_student": (22, 44, (44, 22, 22), None),
    "rona_small_teacher": (24, 48, (96, 48, 24), None),
    "rona_small_student": (6, 12, (12, 6, 6), None),
}


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (first, second, third, deviation) in WIDTHS.items():
        yield ModelSpec(
            name=name,
            factory=partial(RonaNet, first=first, second=second, third=third, deviation=deviation),
            summary=f"blocks of {first}, {second} and {'-'.join(map(str, third))} channels, leaky ReLU, no norms",
            stages=("pool1", "block2", "block3"),
            classifier="fc",
            paper=PAPER,
            revision=1,
        )
