"""Small networks of depthwise separable convolutions, the other family for pairs of unlike networks on small images.

Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017: a depthwise 3x3 convolution and a
pointwise 1x1 convolution without an activation between them. A stem and two stages; `small_conv` has three stages.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl


class SeparableConv(nn.Module):
    """Depthwise 3x3 and pointwise 1x1 convolution, batch normalisation, ReLU; halves height and width (rounded up)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride=2, padding=1, groups=in_channels, bias=False)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.pointwise(self.depthwise(x))))
        return out


class SeparableConvNet(nn.Module):
    """Stem with w channels at H, stages with 2w and 4w channels at H/2 and H/4."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.stage1 = SeparableConv(width, 2 * width)
        self.stage2 = SeparableConv(2 * width, 4 * width)
        self.fc = nn.Linear(4 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.stage2(self.stage1(self.stem(x)))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for width in (16, 32):
        yield ModelSpec(
            name=f"sepconv{width}",
            factory=partial(SeparableConvNet, width=width),
            summary=f"a stem of {width} channels and two depthwise separable convolutions",
            stem="stem",
            stages=("stage1", "stage2"),
            pre_activations=("stage1.act", "stage2.act"),
            norms=("stage1.norm", "stage2.norm"),
            classifier="fc",
            paper="Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, CVPR 2017",
            revision=1,
        )
