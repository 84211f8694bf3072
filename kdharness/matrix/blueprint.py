"""Networks on the meta device: shapes without storage, and whether a method can serve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kdharness.api.functional import eval_mode
from kdharness.api.method import BuildContext, Method, ModelShape
from kdharness.api.specs import ModelSpec, Tap
from kdharness.api.staged import StagedModel
from kdharness.matrix.ensemble import ensemble_of


@dataclass(frozen=True)
class Blueprint:
    """What is known of a dataset when a plan is made."""

    num_classes: int
    input_shape: tuple[int, int, int]
    subset_sizes: dict[str, int]
    epochs: int
    batch_size: int


def trial_model(spec: ModelSpec, blueprint: Blueprint, device: str = "meta") -> StagedModel:
    """The network without storage, or on the CPU with random weights. Whatever its factory raises passes through."""
    with torch.random.fork_rng(devices=[]), torch.device(device):
        network = spec.factory(blueprint.num_classes, blueprint.input_shape)
    return StagedModel(network, spec, blueprint.input_shape)


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
        outputs = model.run(torch.zeros((2, *model.input_shape), device=first.device), taps)

    def shapes(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(t.shape[1:]) for t in tensors)

    return ModelShape(
        name=spec.name,
        stages=shapes(outputs.stages) if spec.stages else (),
        pre_activations=shapes(outputs.pre_activations) if spec.pre_activations else (),
        embedding=int(outputs.embedding.shape[1]) if spec.classifier else None,
    )


def reason_to_skip(
    method: Method,
    student: StagedModel,
    teachers: Sequence[StagedModel],
    blueprint: Blueprint,
    others: Sequence[StagedModel] = (),
) -> str | None:
    """Why the method cannot serve these models, or None; found on the meta device, without data.

    others: of the models that the method makes further networks of.
    """
    reads = method.reads
    if reads.teachers != "none" and not teachers:
        return "needs a teacher, and the pair has none"
    for model in (student, *teachers):
        lacking = model.lacks(reads.taps)
        if lacking:
            return f"reads {lacking}, which model '{model.spec.name}' does not declare"
    by_name = {m.spec.name: m.spec for m in (student, *teachers, *others)}
    if reads.teachers == "one" and len(teachers) > 1:
        if reads.taps:
            return f"reads {reads.taps[0]} of one teacher, and an ensemble of {len(teachers)} has none"
        teachers = [ensemble_of(teachers)]
    with torch.device("meta"):
        context = BuildContext(
            num_classes=blueprint.num_classes,
            input_shape=blueprint.input_shape,
            student=shape_of(student),
            teachers=tuple(shape_of(t) for t in teachers),
            student_model=student,
            teacher_models=tuple(teachers),
            targets=torch.zeros(0, dtype=torch.int64),
            subset_sizes=blueprint.subset_sizes,
            epochs=blueprint.epochs,
            batch_size=blueprint.batch_size,
            device=torch.device("meta"),
            make_generator=lambda name: torch.Generator().manual_seed(0),
            new_model=lambda name, role: trial_model(by_name[name], blueprint),
        )
        return method.skip(context)
