"""Two networks, a batch and a method between them, for tests of methods that read more than outputs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from kdharness_plugins.methods import kdharness_methods
from kdharness_plugins.models import kdharness_models
from torch import Tensor

from kdharness.api import Batch, BuildContext, Outputs, StagedModel, StepInfo
from kdharness.api.shapes import shape_of

SPECS = {spec.name: spec for spec in kdharness_methods()}
MODELS = {spec.name: spec for spec in kdharness_models()}
EPOCHS = 40

torch.set_num_threads(1)


def network(name: str, classes: int, shape: tuple[int, int, int], seed: int = 0) -> StagedModel:
    torch.manual_seed(seed)
    spec = MODELS[name].configured({})
    return StagedModel(spec.factory(classes, shape), spec, shape)


def step_at(progress: float, epochs: int = EPOCHS) -> StepInfo:
    return StepInfo("train", torch.tensor(0), epochs, torch.tensor(progress))


@dataclass
class World:
    """A pair of untrained networks, the student in train mode, and `samples` images of 8x8."""

    student_name: str = "conv4"
    teacher_name: str = "conv8"
    classes: int = 5
    samples: int = 6
    batch_size: int = 6
    shape: tuple[int, int, int] = (3, 8, 8)

    @cached_property
    def student(self) -> StagedModel:
        return network(self.student_name, self.classes, self.shape, 1).train()

    @cached_property
    def teacher(self) -> StagedModel:
        return network(self.teacher_name, self.classes, self.shape, 2).eval().requires_grad_(False)

    @cached_property
    def context(self) -> BuildContext:
        given = {
            "num_classes": self.classes,
            "input_shape": self.shape,
            "batch_size": self.batch_size,
            "epochs": EPOCHS,
            "student": shape_of(self.student),
            "student_model": self.student,
            "teachers": (shape_of(self.teacher),),
            "teacher_models": (self.teacher,),
            "device": torch.device("cpu"),
            "make_generator": lambda name, device: torch.Generator().manual_seed(7),
        }
        return BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})

    @cached_property
    def images(self) -> Tensor:
        return torch.rand(self.samples, *self.shape, generator=torch.Generator().manual_seed(3))

    @cached_property
    def targets(self) -> Tensor:
        return torch.arange(self.samples) % self.classes

    def batch(self, progress: float = 0.5, order: Tensor | None = None) -> Batch:
        images, targets = self.images, self.targets
        if order is not None:
            images, targets = images[order], targets[order]
        return Batch(images, targets, step_at(progress), views=(images,))

    def built(self, name: str, **parameters: Any) -> Any:
        method = SPECS[name].factory(**parameters)
        assert method.skip(self.context) is None
        torch.manual_seed(4)
        method.build(self.context)
        return method.train()

    def outputs(self, method: Any, batch: Batch) -> tuple[Outputs, Outputs]:
        reads = method.reads
        student = self.student.run(batch.images, reads.of_student.taps)
        with torch.no_grad():
            teacher = self.teacher.run(batch.images, reads.of_teachers.taps)
        return student, teacher

    def losses(self, method: Any, batch: Batch | None = None) -> dict[str, Tensor]:
        batch = self.batch() if batch is None else batch
        return dict(method.losses(batch, *self.outputs(method, batch)))
