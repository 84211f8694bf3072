"""How often teachers run in a plan, and when keeping what they say pays."""

from __future__ import annotations

import pytest

from kdharness.api.executors import TeacherUse
from kdharness.planning.plan import Plan
from kdharness.planning.teacher_uses import TeacherReads, passes_with_table, pays, teacher_uses
from kdharness.registry.manager import Registry
from kdharness.testing import Lab


def uses_of(plan: Plan, registry: Registry, largest: int = 12) -> TeacherUse:
    cells = [p.cell for p in plan.cells if not p.skip and p.cell.role != "teacher"]
    (use,) = teacher_uses(cells, TeacherReads(registry).of, largest)
    return use


def test_what_methods_read(lab: Lab) -> None:
    plan = lab.plan(methods=("vanilla", "kd", "rkd", "at", "vid", "dkd"))
    reads = TeacherReads(lab.registry)
    found = {p.cell.method: reads.of(p.cell) for p in plan.cells if p.cell.role == "student"}
    rows, maps = (True, True), (True, False)
    assert found == {"vanilla": (False, False), "kd": rows, "rkd": rows, "dkd": rows, "at": maps, "vid": maps}


@pytest.mark.parametrize(
    ("methods", "largest", "counts"),
    [
        (("kd", "dkd"), 12, (2 * 10, 0, 2 * 10)),  # two seeds of ten epochs, one group each
        (("kd", "dkd", "rkd"), 2, (2 * 2 * 10, 0, 2 * 10)),
        (("kd", "at"), 12, (2 * 10, 2 * 10, 0)),
        (("kd", "dkd", "at"), 2, (2 * 2 * 10, 2 * 10, 0)),
        (("vanilla", "kd"), 1, (2 * 10, 0, 2 * 10)),
    ],
)
def test_counts(methods: tuple[str, ...], largest: int, counts: tuple[int, int, int], lab: Lab) -> None:
    plan = lab.plan(methods=methods, seeds=(0, 1), epochs=10)
    use = uses_of(plan, lab.registry, largest)
    assert use.teacher == next(p.cell.key for p in plan.cells if p.cell.role == "teacher")
    assert (use.online, use.maps, use.apart) == counts


def test_private_images_have_no_tables(lab: Lab) -> None:
    plan = lab.plan("rona-small", methods=("kd",))
    cells = [p.cell for p in plan.cells if p.cell.role != "teacher"]
    assert cells
    assert teacher_uses(cells, TeacherReads(lab.registry).of, 12) == []


@pytest.mark.parametrize(
    ("use", "each", "epochs"),
    [
        (TeacherUse("t", 240, 0, 240), 162, 125.3),  # the table of the performance notes: 125 of 162 in 240 epochs
        (TeacherUse("t", 720, 0, 720), 162, 160.1),
        (TeacherUse("t", 100, 0, 100), 1, 1.0),
        (TeacherUse("t", 100, 60, 0), 162, 60.0),
    ],
)
def test_how_many_epochs_a_teacher_runs(use: TeacherUse, each: int, epochs: float) -> None:
    assert passes_with_table(use, each) == pytest.approx(epochs, abs=0.1)


def test_when_it_pays() -> None:
    assert pays(TeacherUse("t", 240, 0, 240), 162)
    assert not pays(TeacherUse("t", 30, 0, 30), 162), "few pictures come again"
    assert pays(TeacherUse("t", 30, 0, 30), 1)
    assert not pays(TeacherUse("t", 30, 30, 0), 1), "somebody reads maps of every batch"
    assert pays(TeacherUse("t", 60, 30, 0), 162), "the second group of a seed has the pictures of the first"
    assert not pays(TeacherUse("t", 0, 0, 0), 1)
