"""Classification networks of torchvision, under the name `torchvision_` and their own.

They are untrained, unless a benchmark says otherwise: `weights = "imagenet1k_v1"` in `[models.NAME]` lets them begin
with weights that torchvision publishes, resized, cut and normalised as its own transforms say.

A new one is a new row of PARTS. The stages are the last maps at their resolution; the deepest is the map that is
pooled, where a module returns it. Blocks that end without an activation (MobileNet's linear bottlenecks) have no
pre-activations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from kdharness.api import ModelSpec, Preprocessing, Pretrained, Tokens, hookimpl


@dataclass(frozen=True)
class Parts:
    """Module paths, as in ModelSpec."""

    classifier: str
    stem: str = ""
    stages: tuple[str, ...] = ()
    pre_activations: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    tokens: Tokens | None = None


def resnet(blocks: Sequence[int], last_norm: str) -> Parts:
    """blocks: per stage. A block calls its one `relu` several times, the last time on the sum."""
    stages = tuple(f"layer{number}" for number in range(1, len(blocks) + 1))
    last_blocks = [f"{stage}.{count - 1}" for stage, count in zip(stages, blocks, strict=True)]
    return Parts(
        classifier="fc",
        stem="relu",
        stages=stages,
        pre_activations=tuple(f"{block}.relu" for block in last_blocks),
        norms=tuple(f"{block}.{last_norm}" for block in last_blocks),
    )


def vgg(convolutions: Sequence[int]) -> Parts:
    """convolutions: per stage, each followed by BatchNorm and ReLU; the pooling after them is no part of the stage."""
    pools = [end - 1 for end in accumulate(3 * count + 1 for count in convolutions)]
    relus = tuple(f"features.{pool - 1}" for pool in pools)
    return Parts("classifier.6", stages=relus, pre_activations=relus, norms=tuple(f"features.{p - 2}" for p in pools))


def regnet(blocks: Sequence[int]) -> Parts:
    """blocks: per stage."""
    numbers = range(1, len(blocks) + 1)
    last_blocks = [
        f"trunk_output.block{number}.block{number}-{count - 1}" for number, count in zip(numbers, blocks, strict=True)
    ]
    return Parts(
        classifier="fc",
        stem="stem",
        stages=tuple(f"trunk_output.block{number}" for number in numbers),
        pre_activations=tuple(f"{block}.activation" for block in last_blocks),
        norms=tuple(f"{block}.f.c.1" for block in last_blocks),
    )


def features(classifier: str, *children: int | str) -> Parts:
    """Stages that are children of `features`."""
    return Parts(classifier, stages=tuple(f"features.{child}" for child in children))


PARTS: dict[str, Parts] = {
    "resnet18": resnet((2, 2, 2, 2), "bn2"),
    "resnet34": resnet((3, 4, 6, 3), "bn2"),
    "resnet50": resnet((3, 4, 6, 3), "bn3"),
    "resnet101": resnet((3, 4, 23, 3), "bn3"),
    "resnext50_32x4d": resnet((3, 4, 6, 3), "bn3"),
    "wide_resnet50_2": resnet((3, 4, 6, 3), "bn3"),
    "vgg11_bn": vgg((1, 1, 2, 2, 2)),
    "vgg13_bn": vgg((2, 2, 2, 2, 2)),
    "vgg16_bn": vgg((2, 2, 3, 3, 3)),
    "vgg19_bn": vgg((2, 2, 4, 4, 4)),
    "regnet_y_400mf": regnet((1, 3, 6, 6)),
    "mobilenet_v2": features("classifier.1", 3, 6, 13, 18),
    "mobilenet_v3_small": features("classifier.3", 1, 3, 8, 12),
    "mobilenet_v3_large": features("classifier.3", 3, 6, 12, 16),
    "efficientnet_b0": features("classifier.1", 2, 3, 5, 8),
    # An in-place ReLU that is no module overwrites norm5's output, so that the map before it is the deepest.
    "densenet121": features("classifier", "denseblock1", "denseblock2", "denseblock3", "denseblock4"),
    "convnext_tiny": features("classifier.2", 1, 3, 5, 7),
    "shufflenet_v2_x1_0": Parts("fc", stages=("stage2", "stage3", "conv5")),
    "vit_b_16": Parts(
        "heads.head",
        stem="conv_proj",
        stages=tuple(f"encoder.layers.encoder_layer_{number}" for number in (2, 5, 8, 11)),
        tokens=Tokens(prefix=1),
    ),
}


def fit_channels(network: nn.Module, channels: int) -> None:
    """Narrows the first convolution, made for RGB, to `channels` channels, by keeping the first ones' weights."""
    stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    if channels > stem.in_channels:
        raise ValueError(f"torchvision's networks take at most {stem.in_channels} channels, the dataset has {channels}")
    if channels < stem.in_channels:
        stem.weight = nn.Parameter(stem.weight.detach()[:, :channels].clone())
        stem.in_channels = channels


def build(num_classes: int, input_shape: tuple[int, int, int], name: str) -> nn.Module:
    """ValueError when the network cannot take images of `input_shape`."""
    from torchvision import models  # a second to import

    channels, height, width = input_shape
    options: dict[str, Any] = {"num_classes": num_classes}
    if name.startswith("vit"):
        if height != width or height % 16:
            raise ValueError(f"torchvision_{name} takes square images, a multiple of 16 wide, not {height}x{width}")
        options["image_size"] = height
    try:
        network: nn.Module = models.get_model(name, weights=None, **options)
    except NotImplementedError:
        # RegNet computes its widths with tensors, which the meta device cannot.
        with torch.device("cpu"):
            network = models.get_model(name, weights=None, **options)
        network = network.to("meta")
    fit_channels(network, channels)
    return network


def published(name: str) -> dict[str, Pretrained]:
    """torchvision's weights by name in small letters. Its resizing keeps proportions; here images become squares."""
    from torchvision import models  # a second to import

    found = {}
    for weights in models.get_model_weights(name):
        transforms = weights.transforms()
        (size,), (crop,) = transforms.resize_size, transforms.crop_size
        found[weights.name.lower()] = Pretrained(
            url=weights.url,
            preprocessing=Preprocessing(tuple(transforms.mean), tuple(transforms.std), (size, size), (crop, crop)),
            sha256=weights.url.rpartition("-")[2].removesuffix(".pth"),
            renamed=former_densenet if name.startswith("densenet") else None,
            seen_data=seen_data(weights.name),
        )
    return found


def seen_data(weights: str) -> str:
    """What weights of that name were trained on: those called SWAG begin with pictures from Instagram."""
    return "Instagram-3.6B+ImageNet-1k" if "SWAG" in weights else "ImageNet-1k"


def former_densenet(tensor: str) -> str:
    """Names of a DenseNet's layers in torchvision's files ("norm.1"), as the network has them ("norm1")."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.", r"\1", tensor)


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, parts in PARTS.items():
        yield ModelSpec(
            name=f"torchvision_{name}",
            factory=partial(build, name=name),
            summary=f"torchvision's {name}",
            stem=parts.stem,
            stages=parts.stages,
            pre_activations=parts.pre_activations,
            norms=parts.norms,
            classifier=parts.classifier,
            tokens=parts.tokens,
            pretrained=partial(published, name=name),
            revision=1,
        )
