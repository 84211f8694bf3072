"""Two networks and what a method is told of them, for tests that run methods outside the harness."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from kdharness_plugins.models import kdharness_models
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, Outputs, StagedModel, StepInfo
from kdharness.api.shapes import shape_of

Shape = tuple[int, int, int]

MODELS = {spec.name: spec for spec in kdharness_models()}
EPOCHS = 40


def staged(name: str, classes: int = 4, shape: Shape = (3, 8, 8), seed: int = 0, device: str = "cpu") -> StagedModel:
    """A registered network with random weights, on `device`."""
    with torch.device(device), torch.random.fork_rng():
        torch.manual_seed(seed)
        return StagedModel(MODELS[name].factory(classes, shape), MODELS[name], shape)


def context_of(student: StagedModel, teacher: StagedModel) -> BuildContext:
    """What these methods read of a context: shapes and networks, and a generator."""
    given: dict[str, Any] = {
        "student": shape_of(student),
        "teachers": (shape_of(teacher),),
        "student_model": student,
        "teacher_models": (teacher,),
        "make_generator": lambda name, device: torch.Generator().manual_seed(7),
    }
    return BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})


def batch_of(images: Tensor, phase: str, classes: int = 4, progress: float = 1.0) -> Batch:
    targets = torch.arange(len(images), device=images.device) % classes
    place = torch.tensor(progress, dtype=torch.float32, device=images.device)
    return Batch(images, targets, StepInfo(phase, torch.tensor(0), EPOCHS, place), views=(images,))


def outputs_of(method: Method, student: StagedModel, teacher: StagedModel, images: Tensor) -> tuple[Outputs, Outputs]:
    """What the networks give that the method reads: the student in train mode, the teacher in eval mode."""
    with torch.no_grad():
        taught = teacher.eval().run(images, method.reads.of_teachers.taps)
    return student.train().run(images, method.reads.of_student.taps), taught


def losses_of(
    method: Method, student: StagedModel, teacher: StagedModel, images: Tensor, phase: str, progress: float = 1.0
) -> Mapping[str, Tensor]:
    classes = student.classifier.out_features
    assert isinstance(classes, int)
    return method.losses(batch_of(images, phase, classes, progress), *outputs_of(method, student, teacher, images))
