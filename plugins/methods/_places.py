"""What a network's classifier would see of each place of its deepest map, by itself.

A network that averages a map over its places and classifies the mean can as well classify the places and average the
answers. The layers between the deepest stage and the mean, if there are any (a 1x1 convolution with its normalisation
in MobileNetV2 and ShuffleNetV2), must then treat each place alike and apart from the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from kdharness.api import ModelShape, StagedModel

Statistics = Literal["own", "frozen"]

# Layers, beside 1x1 convolutions, that see one place at a time.
APART = (
    nn.BatchNorm2d,
    nn.Identity,
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
)


def place_embeddings(model: StagedModel, feature: Tensor, statistics: Statistics) -> Tensor:
    """The input of the classifier for each place of the deepest map [N, C, H, W]: [N, D, H, W].

    statistics: what normalisations behind the map go by, as in `StagedModel.head`. "own" gives a training network's
    numbers: the statistics over images and places are the same, and none are updated a second time.
    """
    count, channels, height, width = feature.shape
    cells = feature.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)
    with _entering(model.classifier) as seen:
        model.head(cells, statistics)
    return seen[-1].float().reshape(count, height, width, -1).permute(0, 3, 1, 2)


def classifier_of(model: StagedModel) -> nn.Linear:
    """The network's classifier, of a network whose places can be classified apart."""
    classifier = model.classifier
    assert isinstance(classifier, nn.Linear)
    return classifier


@contextmanager
def _entering(module: nn.Module) -> Iterator[list[Tensor]]:
    """What is given to the module meanwhile."""
    seen: list[Tensor] = []

    def enter(module: nn.Module, args: Any) -> None:
        seen.append(args[0])

    handle = module.register_forward_pre_hook(enter)
    try:
        yield seen
    finally:
        handle.remove()


def why_not_apart(model: StagedModel, shape: ModelShape) -> str | None:
    """Why the places of this network's deepest map cannot be classified apart, or None. Works on the meta device."""
    name = f"model '{shape.name}'"
    if model.spec.tokens is not None:
        return f"{name} is a network of tokens: it does not classify the mean over places"
    if not isinstance(model.classifier, nn.Linear):
        return f"the classifier of {name} is no linear layer"
    with _running_behind(model) as behind:
        try:
            model.head(torch.zeros((2, shape.stages[-1][0], 1, 1), device=model.classifier.weight.device), "own")
        except (RuntimeError, ValueError) as error:
            return f"{name} does not classify a map of one place: {error}".splitlines()[0]
    if not behind or behind[-1] is not model.classifier:
        return f"{name} has layers behind its classifier"
    averages = [isinstance(layer, nn.AdaptiveAvgPool2d) for layer in behind]
    before = behind[: averages.index(True)] if any(averages) else behind[:-1]
    after = behind[len(before) + 1 : -1]
    mixing = [layer for layer in before if not _keeps_apart(layer)]
    mixing += [layer for layer in after if not isinstance(layer, (nn.Flatten, nn.Identity))]
    return f"a {type(mixing[0]).__name__} of {name} mixes places of its deepest map" if mixing else None


def _keeps_apart(layer: nn.Module) -> bool:
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == (1, 1) and layer.stride == (1, 1) and layer.padding == (0, 0)
    return isinstance(layer, APART)


@contextmanager
def _running_behind(model: StagedModel) -> Iterator[list[nn.Module]]:
    """The layers that are run after the deepest stage in the last pass meanwhile."""
    behind: list[nn.Module] = []
    reached = False

    def begin(module: nn.Module, args: Any) -> None:
        nonlocal reached
        reached = False
        behind.clear()

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        nonlocal reached
        reached = True

    def enter(module: nn.Module, args: Any) -> None:
        if reached:
            behind.append(module)

    handles = [model.network.register_forward_pre_hook(begin), model.stages[-1].register_forward_hook(leave)]
    leaves = (module for module in model.network.modules() if not any(module.children()))
    handles += [module.register_forward_pre_hook(enter) for module in leaves]
    try:
        yield behind
    finally:
        for handle in handles:
            handle.remove()
