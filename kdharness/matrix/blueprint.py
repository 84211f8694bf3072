"""Networks on the meta device: shapes without storage, and whether a method can serve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdharness.api.method import BuildContext, Method, ModelShape
from kdharness.api.specs import ModelSpec, Tap
from kdharness.api.staged import StagedModel


@dataclass(frozen=True)
class Blueprint:
    """What is known of a dataset when a plan is made."""

    num_classes: int
    input_shape: tuple[int, int, int]
    subset_sizes: dict[str, int]
    epochs: int
    batch_size: int


def meta_model(spec: ModelSpec, blueprint: Blueprint) -> StagedModel:
    """The network without storage. Whatever its factory raises passes through."""
    with torch.device("meta"):
        network = spec.factory(blueprint.num_classes, blueprint.input_shape)
    return StagedModel(network, spec, blueprint.input_shape)


def shape_of(model: StagedModel) -> ModelShape:
    """The shapes of a network's taps for one sample, by one forward pass in eval mode of two blank images."""
    spec = model.spec
    declared: dict[Tap, object] = {
        "stages": spec.stages,
        "pre_activations": spec.pre_activations,
        "embedding": spec.classifier,
    }
    taps = [tap for tap, names in declared.items() if names]
    first = next(model.parameters(), torch.empty(0))
    modes = {m: m.training for m in model.modules()}
    with torch.no_grad():
        outputs = model.eval().run(torch.zeros((2, *model.input_shape), device=first.device), taps)
    for module, mode in modes.items():
        module.training = mode

    def shapes(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(t.shape[1:]) for t in tensors)

    return ModelShape(
        name=spec.name,
        stages=shapes(outputs.stages) if spec.stages else (),
        pre_activations=shapes(outputs.pre_activations) if spec.pre_activations else (),
        embedding=int(outputs.embedding.shape[1]) if spec.classifier else None,
    )


def reason_to_skip(
    method: Method, student: StagedModel, teachers: Sequence[StagedModel], blueprint: Blueprint
) -> str | None:
    """Why the method cannot serve these models, or None; found on the meta device, without data."""
    reads = method.reads
    if reads.teachers != "none" and not teachers:
        return "needs a teacher, and the pair has none"
    for model in (student, *teachers):
        lacking = model.lacks(reads.taps)
        if lacking:
            return f"reads {lacking}, which model '{model.spec.name}' does not declare"
    by_name = {m.spec.name: m.spec for m in (student, *teachers)}
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
            new_model=lambda name, role: meta_model(by_name[name], blueprint),
        )
        return method.skip(context)
