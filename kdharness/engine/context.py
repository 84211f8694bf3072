"""What a method is told when it builds its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from kdharness.api.method import BuildContext
from kdharness.api.shapes import shape_of
from kdharness.api.staged import StagedModel
from kdharness.errors import CellError
from kdharness.planning.cell import Cell

if TYPE_CHECKING:
    from kdharness.engine.teachers import Ensemble, Teacher
    from kdharness.engine.world import Data, World


def build_context(
    student: StagedModel,
    teachers: Sequence[Teacher | Ensemble],
    cell: Cell,
    world: World,
    data: Data,
    make_generator: Callable[[str], torch.Generator],
) -> BuildContext:
    """The context of a cell that is about to train."""
    subset = data.subsets[cell.document["subset"]]
    known = (cell.student, *(t.model for t in cell.teachers), *cell.networks)

    def new_model(name: str, role: str) -> StagedModel:
        if name not in known:
            what = f"it makes a network of '{name}', which its networks() does not name"
            raise CellError("MethodError", f"{what} (known: {', '.join(dict.fromkeys(known))})")
        return world.new_model(name, data, role, cell.seed)

    return BuildContext(
        num_classes=data.num_classes,
        input_shape=data.input_shape,
        student=shape_of(student),
        teachers=tuple(shape_of(t.model) for t in teachers),
        student_model=student,
        teacher_models=tuple(t.model for t in teachers),
        targets=data.targets[subset],
        subset_sizes={name: len(rows) for name, rows in data.subsets.items() if name not in ("private", "validation")},
        epochs=int(cell.recipe["epochs"]),
        batch_size=int(cell.recipe["batch_size"]),
        device=world.device,
        make_generator=make_generator,
        new_model=new_model,
    )
