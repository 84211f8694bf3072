"""A worker keeps its teachers, each for the cells that run it in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kdharness.testing import Lab


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"channels_last": True}])
def test_cells_that_run_a_teacher_otherwise_have_another(make_lab: Callable[..., Lab], change: dict[str, Any]) -> None:
    """Also where they have one file for it, as teachers from outside do."""
    lab = make_lab()
    plan = lab.plan(methods=("kd",), scenarios=("few100",))
    (teacher,) = (p.cell for p in plan.cells if p.cell.role == "teacher")
    (student,) = (p.cell for p in plan.cells if p.cell.role == "student")
    lab.train([teacher])
    store, data = lab._world.teachers, lab._world.data.of(student)
    other = replace(student, document={**student.document, "recipe": {**student.recipe, **change}})
    one, again, apart = (store.of(cell, data)[0] for cell in (student, student, other))
    assert one is again
    assert apart is not one
    assert apart.model.placement != one.model.placement
