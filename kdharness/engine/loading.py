"""A cell's teachers, from the cells that trained them or from files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from kdharness.engine.teachers import Teacher, fill, load_weights
from kdharness.engine.world import Data, World, sha256_of
from kdharness.errors import UserError
from kdharness.measure.predict import predict
from kdharness.planning.cell import Cell, TeacherSource
from kdharness.protocol.recipe import Recipe


def teachers_of(cell: Cell, world: World, data: Data, floor: float | None) -> list[Teacher]:
    """The cell's teachers in its order, each loaded and checked once per worker.

    floor: percent on the test split that a teacher from a file must reach (default: twice what chance gives).
    """
    return [_teacher(source, cell, world, data, floor) for source in cell.teachers]


def logits_on(teacher: Teacher, split: str, data: Data, recipe: Recipe) -> Tensor:
    """The teacher's logits [N, classes] on a split, on the CPU; computed when they are first asked for."""
    if split not in teacher.logits:
        images, rows, _ = data.split(split)
        teacher.logits[split] = predict(teacher.model, images, rows, recipe)["logits"].cpu()
    return teacher.logits[split]


def _teacher(source: TeacherSource, cell: Cell, world: World, data: Data, floor: float | None) -> Teacher:
    path = world.teacher_path(source)
    digest = sha256_of(path) if path.exists() else ""
    recipe = Recipe.model_validate(dict(cell.recipe))
    # Precision and layout change what a teacher gives, and cells that differ in them may share a worker.
    key = f"{path} {digest} {id(data)} {recipe.precision} {recipe.channels_last}"
    if key not in world.teachers:
        if source.sha256 and digest != source.sha256:
            raise UserError(
                f"teacher file {path} is not the one that was planned with: its sha256 is {digest or 'unknown'}"
            )
        world.teachers[key] = _load(source, path, digest, recipe, world, data, floor)
    teacher: Teacher = world.teachers[key]
    return teacher


def _load(
    source: TeacherSource, path: Path, digest: str, recipe: Recipe, world: World, data: Data, floor: float | None
) -> Teacher:
    model = world.new_model(source.model, data, "teacher", 0)
    fill(model, load_weights(path), path)
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)
    rows = torch.arange(len(data.test), device=world.device)
    logits = predict(model, data.test, rows, recipe)["logits"]
    top1 = float((logits.argmax(1) == data.test_targets).double().mean()) * 100
    least = 200.0 / data.num_classes if floor is None else floor
    if source.sha256 and top1 < least:
        raise UserError(
            f"teacher file {path} reaches {top1:.2f} % on the test split, less than the {least:.2f} % asked"
        )
    return Teacher(model, digest, top1, logits.cpu())
