"""Shapes of what a network's taps give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kdharness.api.declarations import Tap
from kdharness.api.functional import eval_mode
from kdharness.api.staged import StagedModel


@dataclass(frozen=True)
class ModelShape:
    """Shapes for one sample.

    name: the model's.
    stages: (C, H, W) each, shallow to deep.
    pre_activations: likewise.
    embedding: D, or None.
    """

    name: str
    stages: tuple[tuple[int, ...], ...]
    pre_activations: tuple[tuple[int, ...], ...]
    embedding: int | None


# Many methods ask for the shapes of one network, and a deep one takes a while to answer, on the meta device too.
_shapes: WeakKeyDictionary[StagedModel, ModelShape] = WeakKeyDictionary()


def shape_of(model: StagedModel) -> ModelShape:
    """The shapes of a network's taps for one sample, by one forward pass in eval mode of two blank images."""
    if model not in _shapes:
        _shapes[model] = _measured_shape(model)
    return _shapes[model]


def _measured_shape(model: StagedModel) -> ModelShape:
    spec = model.spec
    declared: dict[Tap, object] = {
        "stages": spec.stages,
        "pre_activations": spec.pre_activations,
        "embedding": spec.classifier,
    }
    taps = [tap for tap, names in declared.items() if names]
    first = next(model.parameters(), torch.empty(0))
    with torch.no_grad(), eval_mode(model):
        outputs = model.run(torch.zeros((2, *model.image_shape), device=first.device), taps)

    def shapes(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(t.shape[1:]) for t in tensors)

    return ModelShape(
        name=spec.name,
        stages=shapes(outputs.stages) if spec.stages else (),
        pre_activations=shapes(outputs.pre_activations) if spec.pre_activations else (),
        embedding=int(outputs.embedding.shape[1]) if spec.classifier else None,
    )
