"""What a cell tells of private images: of itself, and through whom it learned from."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import fabricate
import pytest

from kdharness.planning.cell import Cell, TeacherSource
from kdharness.planning.plan import PlannedCell
from kdharness.results.budgets import Budget, budget_of, noise_of
from kdharness.results.record import Record

SPLIT: dict[str, Any] = {"scenario": "split80"}
SAW = fabricate.teacher_cell("big", **SPLIT)
TWIN = replace(SAW, key="twin", document={**SAW.document, "subset": "public"})
STATED = {"x_guard_epsilon": 2.0, "x_guard_delta": 1e-5}


def taught(method: str, *by: Cell, **changes: Any) -> Cell:
    sources = tuple(TeacherSource(cell.student, cell.key) for cell in by)
    return fabricate.cell(method, teacher=None, teachers=sources, **{**SPLIT, **changes})


def spent(cell: Cell, *others: Cell, **numbers: float) -> Budget | None:
    """numbers: of records, each of the cell whose method it names."""
    cells = (cell, *others)
    records: dict[str, Record] = {}
    for each in cells:
        own = {name: value for name, value in numbers.items() if name.startswith(f"x_{each.method}_")}
        records[each.key] = fabricate.record(each, **own)
    return budget_of(cell, {c.key: PlannedCell(c) for c in cells}, records)


def test_where_nothing_is_private_there_is_no_budget() -> None:
    assert spent(taught("kd", SAW, scenario="clean")) is None


def test_who_saw_private_images_tells_all_and_who_asks_nobody_nothing() -> None:
    assert spent(SAW) == Budget(math.inf)
    assert spent(TWIN) == spent(taught("vanilla")) == spent(taught("kd", TWIN), TWIN) == Budget()


def test_who_asks_without_a_mechanism_tells_all() -> None:
    assert spent(taught("kd", SAW), SAW) == spent(taught("kd", TWIN, SAW), TWIN, SAW) == Budget(math.inf)


def test_what_a_method_states_counts_unless_its_noise_is_public() -> None:
    guard = taught("guard", SAW, TWIN)
    assert spent(guard, SAW, TWIN, **STATED) == Budget(2.0, 1e-5)
    assert spent(guard, SAW, TWIN, **STATED, x_guard_noise_public=0.0) == Budget(2.0, 1e-5)
    assert spent(guard, SAW, TWIN, **STATED, x_guard_noise_public=1.0) == Budget(math.inf)
    assert spent(guard, SAW, TWIN, x_guard_epsilon=0.0, x_guard_noise_public=1.0) == Budget()


def test_what_is_learned_from_others_counts_too() -> None:
    """An assistant that asked, or that was protected; a second generation; a start."""
    loose, guard = taught("kd", SAW), taught("guard", SAW)
    assert spent(taught("after", loose), loose, SAW) == Budget(math.inf)
    assert spent(taught("after", guard), guard, SAW, **STATED) == Budget(2.0, 1e-5)
    both = spent(taught("after", guard), guard, SAW, **STATED, x_after_epsilon=1.0, x_after_delta=1e-6)
    assert both == Budget(3.0, pytest.approx(1.1e-5))
    begun = replace(taught("vanilla"), start=TeacherSource("big", SAW.key))
    assert spent(begun, SAW) == Budget(math.inf)


def test_of_what_is_not_known_the_worst_is_taken() -> None:
    """A teacher from a file, and one that no plan has; a damaged plan that leads back ends too."""
    file = replace(taught("kd"), teachers=(TeacherSource("big", sha256="ab", path="big.safetensors"),))
    assert spent(file) == spent(taught("kd", SAW)) == Budget(math.inf)
    one, other = taught("one"), taught("other")
    one = replace(one, teachers=(TeacherSource("x", other.key),))
    assert spent(one, replace(other, teachers=(TeacherSource("x", one.key),))) == Budget(math.inf)


def test_who_trained_on_private_images_and_accounts_for_it_states_the_budget() -> None:
    own = replace(taught("guard"), document={**SAW.document, "subset": "teacher"}, accounted=True)
    assert spent(own, **STATED) == Budget(2.0, 1e-5)
    assert spent(own, **STATED, x_guard_noise_public=1.0) == Budget(math.inf)
    assert spent(own, x_guard_epsilon_infinite=1.0) == Budget(math.inf)
    assert spent(own) == Budget(math.inf), "it says nothing"
    assert spent(replace(own, accounted=False), **STATED) == Budget(math.inf)
    assert spent(taught("kd", own), own, **STATED) == Budget(2.0, 1e-5)
    assert spent(taught("kd", own), own) == Budget(math.inf)
    assert spent(taught("kd", own, SAW), own, SAW, **STATED) == Budget(math.inf)


def test_what_the_noise_is() -> None:
    guard = taught("guard", SAW)
    assert noise_of(guard, fabricate.record(guard)) == ""
    assert noise_of(guard, fabricate.record(guard, x_guard_noise_public=1.0)) == "public"
    assert noise_of(replace(guard, secret=True), fabricate.record(guard, x_guard_noise_public=0.0)) == "secret"
