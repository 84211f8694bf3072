"""Residual networks with pre-activation and four stages, with the stem that CIFAR papers give them.

He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", ECCV 2016: batch normalisation and ReLU before each
convolution, so that nothing stands between one sum and the next; after the last sum, normalisation and ReLU once more.
Here: a 3x3 stem with stride 1, four stages of basic blocks with 64, 128, 256, 512 channels at resolutions 1, 1/2, 1/4,
1/8, global average pooling, one linear layer. Where the shape changes, the shortcut is a 1x1 convolution of the
activated input.

MEAL's PreActResNet18 is this network without the last normalisation and ReLU, as in the public CIFAR code that it comes
from; here the paper is followed (1,024 parameters more of 11.17 million), so that the deepest stage has an activation.

A stage's feature is the sum that its last block returns. Its normalisation and activation belong to the next stage's
first block (after the last stage: to the network), and so do the declared norms and pre-activations.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import Tensor, nn

from kdharness.api import ModelSpec, hookimpl

from ._weights import initialise
from .wrn import make_stage

WIDTHS = (64, 128, 256, 512)

# Name: blocks in each stage.
MEMBERS: dict[str, tuple[int, int, int, int]] = {
    "preact_resnet18": (2, 2, 2, 2),
    "preact_resnet34": (3, 4, 6, 3),
}


class PreActResNet(nn.Module):
    """blocks: how many in each of the four stages."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], WIDTHS[0], 3, padding=1, bias=False)
        self.layer1 = make_stage(WIDTHS[0], WIDTHS[0], blocks[0], stride=1)
        self.layer2 = make_stage(WIDTHS[0], WIDTHS[1], blocks[1], stride=2)
        self.layer3 = make_stage(WIDTHS[1], WIDTHS[2], blocks[2], stride=2)
        self.layer4 = make_stage(WIDTHS[2], WIDTHS[3], blocks[3], stride=2)
        self.bn = nn.BatchNorm2d(WIDTHS[3])
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(WIDTHS[3], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """images [N, C, H, W] to logits [N, classes]."""
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        x = self.relu(self.bn(x))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, blocks in MEMBERS.items():
        yield ModelSpec(
            name=name,
            factory=partial(PreActResNet, blocks=blocks),
            summary=f"pre-activation ResNet of depth {name.removeprefix('preact_resnet')} with the 3x3 CIFAR stem",
            stem="conv1",
            stages=("layer1", "layer2", "layer3", "layer4"),
            pre_activations=("layer2.0.relu1", "layer3.0.relu1", "layer4.0.relu1", "relu"),
            norms=("layer2.0.bn1", "layer3.0.bn1", "layer4.0.bn1", "bn"),
            classifier="fc",
            paper="He, Zhang, Ren, Sun, Identity Mappings in Deep Residual Networks, ECCV 2016",
            revision=1,
        )
