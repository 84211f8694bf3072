"""Chains: what is asked stands apart from what answers it, and what only others need is a step."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.requirements import Pair
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

CONTENT: dict[str, Any] = {
    "name": "chains",
    "datasets": ["digits"],
    "pairs": ["conv16:conv8"],
    "seeds": [0, 1],
    "recipe": {"epochs": 2},
    "methods": {"takd": {"pairs": {"conv16:conv8": {"assistant": "conv4"}}}},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def plan_of(registry: Registry, *methods: str, changes: dict[str, Any] | None = None, **selection: Any) -> Plan:
    return make_plan(parse({**CONTENT, **(changes or {})}, "chains.toml"), Selection(methods, **selection), registry)


def cells(plan: Plan, role: str, method: str) -> list[Cell]:
    return [p.cell for p in plan.cells if (p.cell.role, p.cell.method) == (role, method)]


def test_a_chain_stands_in_the_setting_of_the_pair_that_was_asked(registry: Registry) -> None:
    plan = plan_of(registry, "kd", "takd", "ban")
    students = [p.cell for p in plan.cells if p.cell.role == "student"]
    assert {(c.method, str(c.pair), c.protocol) for c in students} == {
        (method, "conv16:conv8", students[0].protocol) for method in ("kd", "takd", "ban")
    }
    (teacher,) = cells(plan, "teacher", "vanilla")
    assert {source.cell for c in students for source in c.reference_teachers} == {teacher.key}


def test_the_first_generation_is_the_kd_cell_itself(registry: Registry) -> None:
    plan = plan_of(registry, "ban", "takd", "kd")  # whoever comes first
    students = {c.seed: c for c in cells(plan, "student", "kd")}
    assert sorted(students) == [0, 1]
    for cell in cells(plan, "student", "ban"):
        assert [source.cell for source in cell.teachers] == [students[cell.seed].key]
    (step, other) = cells(plan, "step", "kd")
    assert {str(step.pair), str(other.pair)} == {"conv16:conv4"}
    assert len({p.cell.key for p in plan.cells}) == len(plan.cells)


def test_a_training_has_one_key_whoever_asks_for_it(registry: Registry) -> None:
    asked, needed = plan_of(registry, "kd"), plan_of(registry, "ban")
    assert {c.key for c in cells(asked, "student", "kd")} == {c.key for c in cells(needed, "step", "kd")}
    assert not cells(needed, "student", "kd")


def test_generations_follow_each_other(registry: Registry) -> None:
    plan = plan_of(registry, "ban", settings=("ban.generations=4",), seeds=(1,))
    names = [(p.cell.role, p.cell.method, p.cell.variant) for p in plan.cells]
    assert names == [
        ("teacher", "vanilla", ""),
        ("step", "kd", ""),
        ("step", "ban", ""),
        ("step", "ban", "generations=3"),
        ("student", "ban", "generations=4"),
    ]
    for before, after in zip(plan.cells[1:], plan.cells[2:], strict=False):
        assert [source.cell for source in after.cell.teachers] == [before.cell.key]
    # The step of two generations is the cell that is asked for under that name.
    (two,) = cells(plan_of(registry, "ban", seeds=(1,)), "student", "ban")
    assert two.key == plan.cells[2].cell.key


def test_no_assistant_is_a_reason(registry: Registry) -> None:
    plan = plan_of(registry, "takd", pairs=("conv16:conv4",))
    assert {p.skip.partition(" (")[0] for p in plan.cells if p.cell.role == "student"} == {
        "no assistant is named for this pair"
    }
    assert {p.cell.teacher for p in plan.cells if p.cell.role == "student"} == {"conv16"}
    named = plan_of(registry, "takd", pairs=("conv16:conv4",), settings=("takd.assistant=conv8",))
    assert not any(p.skip for p in named.cells)


def test_a_step_has_the_benchmarks_parameters_of_its_method(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "relay.py"
    file.write_text(
        "from kdharness.api import Method, MethodSpec, Requirement, hookimpl\n"
        "class Relay(Method):\n"
        "    name = 'relay'\n"
        "    def requires(self, pair):\n"
        "        teachers = tuple(super().requires(pair))\n"
        "        return [Requirement('conv4', method='kd', teachers=teachers, subset='train', role='student')]\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(Relay)]\n"
    )
    changes = {"methods": {"kd": {"temperature": 2, "pairs": {"conv16:conv4": {"weight": 0.5}}}}}
    plan = plan_of(Registry.load([file]), "relay", changes=changes)
    (step,) = cells(plan, "step", "kd")
    assert (step.parameters["temperature"], step.parameters["weight"], step.variant) == (2.0, 0.5, "")
    assert step.seed == 0  # the teachers' own


def test_a_method_that_rests_on_no_teacher_runs_once_per_student(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "own_past.py"
    file.write_text(
        "from kdharness.api import Method, MethodSpec, Requirement, hookimpl\n"
        "class OwnPast(Method):\n"
        "    name = 'own_past'\n"
        "    def requires(self, pair):\n"
        "        return [Requirement(pair.student, subset='train', role='student', same_seed=True)]\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(OwnPast)]\n"
    )
    pairs = ("conv16:conv8", "conv32:conv8", "conv8:conv8")
    plan = plan_of(Registry.load([file]), "own_past", "vanilla", pairs=pairs, seeds=(0,))
    assert Counter((p.cell.role, p.cell.method, p.cell.teacher) for p in plan.cells) == {
        ("student", "own_past", ""): 1,
        ("student", "vanilla", ""): 1,
    }


def test_a_step_does_not_depart_from_its_benchmark(registry: Registry) -> None:
    plan = plan_of(registry, "takd")
    assert {p.cell.deviations for p in plan.cells} == {""}


def test_a_chain_of_a_file_is_measured_against_the_file(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "teacher.pt"
    file.write_bytes(b"a plan does not read it")
    plan = plan_of(registry, "kd", "takd", teachers=(str(file),), seeds=(0,))
    kd, takd = cells(plan, "student", "kd")[0], cells(plan, "student", "takd")[0]
    assert kd.reference_teachers == takd.reference_teachers == kd.teachers
    assert kd.deviations == takd.deviations != ""


def test_a_step_that_a_step_teaches_shows_it(registry: Registry) -> None:
    plan = plan_of(registry, "ban", settings=("ban.generations=4",), seeds=(1,))
    steps = [p.cell for p in plan.cells if p.cell.role == "step"]
    bare = [replace(cell, pair=Pair((), cell.student)) for cell in steps[1:]]
    assert [cell.shown_pair for cell in bare] == [f"{cell.student}:{cell.student}" for cell in bare]
    assert all(f" {cell.student}:{cell.student} digits" in cell.label for cell in bare)
    assert steps[0].shown_pair == f"{steps[0].teacher}:{steps[0].student}"
    assert replace(bare[0], role="student").shown_pair == bare[0].student
