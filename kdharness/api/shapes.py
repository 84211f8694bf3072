"""Shapes of what a network's taps give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    stem: (C, H, W), or None.
    tokens: (L, D) of each stage of a network of tokens, the prefix counted.
    modules: of what the method reads besides, by module path.
    named: names of the outputs beside the logits.
    """

    name: str
    stages: tuple[tuple[int, ...], ...]
    pre_activations: tuple[tuple[int, ...], ...]
    embedding: int | None
    stem: tuple[int, ...] | None = None
    tokens: tuple[tuple[int, ...], ...] = ()
    modules: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    named: tuple[str, ...] = ()


# Many methods ask for the shapes of one network, and a deep one takes a while to answer, on the meta device too.
_shapes: WeakKeyDictionary[StagedModel, dict[tuple[str, ...], ModelShape]] = WeakKeyDictionary()

TAPS: tuple[Tap, ...] = ("stem", "stages", "pre_activations", "embedding", "tokens")


def shape_of(model: StagedModel, modules: Sequence[str] = ()) -> ModelShape:
    """The shapes of a network's taps for one sample, by one forward pass in eval mode of two blank images.

    modules: paths of further modules that are read.
    """
    known = _shapes.setdefault(model, {})
    if tuple(modules) not in known:
        known[tuple(modules)] = _measured_shape(model, modules)
    return known[tuple(modules)]


def know_shape(model: StagedModel, shape: ModelShape) -> None:
    """What `shape_of` is to say of a network, without a pass: another one of its spec was measured."""
    _shapes.setdefault(model, {})[()] = shape


def _measured_shape(model: StagedModel, modules: Sequence[str]) -> ModelShape:
    taps = [tap for tap in TAPS if model.lacks([tap]) is None]
    first = next(model.parameters(), torch.empty(0))
    with torch.no_grad(), eval_mode(model):
        outputs = model.run(torch.zeros((2, *model.image_shape), device=first.device), taps, modules)

    def shapes(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(t.shape[1:]) for t in tensors)

    return ModelShape(
        name=model.spec.name,
        stages=shapes(outputs.stages) if "stages" in taps else (),
        pre_activations=shapes(outputs.pre_activations) if "pre_activations" in taps else (),
        embedding=int(outputs.embedding.shape[1]) if "embedding" in taps else None,
        stem=tuple(outputs.stem.shape[1:]) if "stem" in taps else None,
        tokens=shapes([outputs.tokens(k) for k in range(model.num_stages)]) if "tokens" in taps else (),
        modules={path: tuple(outputs.module(path).shape[1:]) for path in modules},
        named=tuple(outputs.named),
    )
