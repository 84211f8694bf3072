"""Small convolutional networks for small images (8x8 digits, 28x28 MNIST): three convolutions, each followed by batch
normalisation and ReLU, then global average pooling and one linear layer.

They are made of few operations, so that a step on 50 images of 8x8 takes a millisecond or two on one CPU core.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl


class ConvNormAct(nn.Module):
    """3x3 convolution, batch normalisation, ReLU. [N, C_in, H, W] to [N, C_out, H / stride, W / stride]."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class SmallConv(nn.Module):
    """Channels w, 2w, 4w at resolutions H, H/2, H/4 (rounded up)."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.stage1 = ConvNormAct(input_shape[0], width, stride=1)
        self.stage2 = ConvNormAct(width, 2 * width, stride=2)
        self.stage3 = ConvNormAct(2 * width, 4 * width, stride=2)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for width in (4, 8, 16, 24, 32, 64):
        yield ModelSpec(
            name=f"conv{width}",
            factory=partial(SmallConv, width=width),
            summary=f"three 3x3 convolutions with {width}, {2 * width} and {4 * width} channels",
            stages=("stage1", "stage2", "stage3"),
            pre_activations=("stage1.act", "stage2.act", "stage3.act"),
            norms=("stage1.norm", "stage2.norm", "stage3.norm"),
            classifier="fc",
            revision=1,
        )
