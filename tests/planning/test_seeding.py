"""What each student seed draws anew, and that no table mixes two rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import MethodChoice, Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

CONTENT: dict[str, Any] = {
    "name": "seeds",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4"],
    "scenarios": ["noise40"],
    "seeds": [0, 1, 2],
    "run": ["vanilla", "kd"],
    "recipe": {"epochs": 2},
}


def plan_of(registry: Registry, changes: dict[str, Any] | None = None, **selection: Any) -> Plan:
    return make_plan(parse({**CONTENT, **(changes or {})}, "seeds.toml"), Selection(**selection), registry)


def cells(plan: Plan, role: str = "student", method: str = "kd") -> list[Cell]:
    return [p.cell for p in plan.cells if (p.cell.role, p.cell.method) == (role, method)]


def test_one_teacher_and_one_draw_are_the_usual_rule(registry: Registry) -> None:
    plan = plan_of(registry)
    (teacher,) = cells(plan, "teacher", "vanilla")
    assert {source.cell for c in cells(plan) for source in c.teachers} == {teacher.key}
    assert {(c.seeding, c.document["scenario"]["seed"]) for c in cells(plan)} == {("student", 0)}
    assert "seeding" not in cells(plan)[0].document


def test_paired_teachers_have_their_students_seeds(registry: Registry) -> None:
    plan = plan_of(registry, teacher_seeds="paired")
    teachers = {c.key: c.seed for c in cells(plan, "teacher", "vanilla")}
    assert [(c.seed, teachers[c.teachers[0].cell]) for c in cells(plan)] == [(0, 0), (1, 1), (2, 2)]
    # A teacher is the same network whoever asks for it.
    assert cells(plan, "teacher", "vanilla")[0].key == cells(plan_of(registry), "teacher", "vanilla")[0].key


def test_paired_scenarios_are_drawn_for_each_seed_with_their_teachers(registry: Registry) -> None:
    changes = {"scenario": {"mine": {"kind": "noise", "ratio": 0.3, "seed": 10}}, "scenarios": ["mine", "clean"]}
    plan = plan_of(registry, changes, scenario_seeds="paired")
    noisy = [c for c in cells(plan) if c.scenario == "mine"]
    assert [(c.seed, c.document["scenario"]["seed"]) for c in noisy] == [(0, 10), (1, 11), (2, 12)]
    teachers = {c.key: c for c in cells(plan, "teacher", "vanilla")}
    mine = [teachers[c.teachers[0].cell] for c in noisy]
    assert [(t.seed, t.document["scenario"]["seed"]) for t in mine] == [(0, 10), (0, 11), (0, 12)]
    # A later command for one seed takes none of the others away.
    assert len({t.addresses[""] for t in mine}) == 3
    clean = [c for c in cells(plan) if c.scenario == "clean"]
    assert {(c.seeding, c.deviations) for c in clean} == {("student", "")}


@pytest.mark.parametrize(
    ("selection", "drawn", "deviations"),
    [
        ({"teacher_seeds": "paired"}, "student+teacher", "teacher_seeds=paired"),
        ({"scenario_seeds": "paired"}, "student+data", "scenario_seeds=paired"),
        (
            {"teacher_seeds": "paired", "scenario_seeds": "paired"},
            "student+teacher+data",
            "teacher_seeds=paired; scenario_seeds=paired",
        ),
    ],
)
def test_another_rule_is_a_deviation_with_cells_and_a_protocol_of_its_own(
    registry: Registry, selection: dict[str, Any], drawn: str, deviations: str
) -> None:
    usual, plan = plan_of(registry), plan_of(registry, **selection)
    for method in ("vanilla", "kd"):
        for before, after in zip(cells(usual, method=method), cells(plan, method=method), strict=True):
            assert (after.seeding, after.deviations) == (drawn, deviations)
            assert after.protocol != before.protocol
            # One cell has one row: a student that nothing of this touches would leave the benchmark's own table.
            assert after.key != before.key


def test_a_benchmark_may_have_another_rule(registry: Registry) -> None:
    changes = {"teacher_seeds": "paired", "scenario_seeds": "paired"}
    own, asked = plan_of(registry, changes), plan_of(registry, teacher_seeds="paired", scenario_seeds="paired")
    assert {c.deviations for c in cells(own)} == {""}
    assert [c.key for c in cells(own)] == [c.key for c in cells(asked)]
    back = plan_of(registry, changes, teacher_seeds="single", scenario_seeds="fixed")
    assert [c.key for c in cells(back)] == [c.key for c in cells(plan_of(registry))]
    assert {c.deviations for c in cells(back)} == {"teacher_seeds=single; scenario_seeds=fixed"}


def test_chains_have_the_teacher_of_their_seed(registry: Registry) -> None:
    plan = plan_of(registry, {"run": ["ban"]}, teacher_seeds="paired")
    teachers = {c.key: c.seed for c in cells(plan, "teacher", "vanilla")}
    assert [(c.seed, teachers[c.reference_teachers[0].cell]) for c in cells(plan, method="ban")] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]


def test_mistakes_are_one_line(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown value 'pared' \(--teacher-seeds\); did you mean 'paired'"):
        plan_of(registry, teacher_seeds="pared")
    file = tmp_path / "teacher.pt"
    file.write_bytes(b"")
    with pytest.raises(UserError, match=r"--teacher gives one teacher for all seeds.*--teacher-seeds single"):
        plan_of(registry, teacher_seeds="paired", teachers=(str(file),))


# -- how much is the teacher's ----------------------------------------------------------------------------------------


def spread_of(plan: Plan, method: str = "kd") -> list[Cell]:
    return cells(plan, "spread", method)


@pytest.mark.parametrize(
    ("rule", "own", "others"),
    [({}, 0, [1, 2]), ({"teacher_seeds": "paired"}, 0, [1, 2]), ({"teacher_seed": 1}, 1, [0, 2])],
)
def test_a_spread_is_the_first_student_under_every_teacher(
    registry: Registry, rule: dict[str, Any], own: int, others: list[int]
) -> None:
    plan = plan_of(registry, {**rule, "teacher_spread": {"seeds": "0-2"}})
    teachers = {c.key: c.seed for c in cells(plan, "teacher", "vanilla")}
    found = spread_of(plan)
    assert [(c.seed, teachers[c.teachers[0].cell], c.teacher_seed) for c in found] == [(0, t, t) for t in others]
    (first, *_) = cells(plan)
    assert teachers[first.teachers[0].cell] == own  # the student's own cell is the one under that teacher
    assert {c.protocol for c in found} == {first.protocol}
    assert {c.deviations for c in found} == {""}
    assert spread_of(plan, "vanilla") == []
    assert len({c.addresses["default"] for c in (*found, first)}) == len(found) + 1


def test_a_spread_moves_no_key_and_no_role(registry: Registry) -> None:
    rule = {"teacher_seeds": "paired", "scenario_seeds": "paired"}
    usual = {p.cell.key: p.cell for p in plan_of(registry, rule).cells}
    with_spread = {p.cell.key: p.cell for p in plan_of(registry, rule, teacher_spread=(0, 1, 2, 3)).cells}
    assert {key: with_spread[key] for key in usual} == usual
    further = [cell for key, cell in with_spread.items() if key not in usual]
    assert sorted((c.role, c.seed, c.document["scenario"]["seed"]) for c in further) == [
        ("spread", 0, 0), ("spread", 0, 0), ("spread", 0, 0), ("teacher", 1, 0), ("teacher", 2, 0), ("teacher", 3, 0),
    ]  # fmt: skip


def test_a_spread_key_is_that_of_a_single_teacher(registry: Registry) -> None:
    """It is the same training, whoever asks for it."""
    (other,) = spread_of(plan_of(registry, teacher_spread=(1,)))
    assert other.key == cells(plan_of(registry, {"teacher_seed": 1}))[0].key


def test_a_spread_of_some_methods_and_no_variants(registry: Registry) -> None:
    changes = {
        "run": ["vanilla", "kd", "dkd"],
        "variants": [{"method": "kd", "parameters": {"temperature": 2}}],
        "teacher_spread": {"seeds": "0-1", "methods": ["kd"]},
    }
    plan = plan_of(registry, changes)
    assert [c.variant for c in spread_of(plan)] == [""]
    assert spread_of(plan, "dkd") == []


def test_an_ablation_has_no_spread(registry: Registry) -> None:
    plan = plan_of(
        registry,
        choices=(MethodChoice("kd", part="kd"), MethodChoice("vanilla", part="vanilla")),
        teacher_spread=(0, 1),
    )
    assert len(cells(plan)) == 3
    assert spread_of(plan) == []


def test_a_chain_has_steps_under_each_teacher(registry: Registry) -> None:
    plan = plan_of(registry, {"run": ["ban"]}, teacher_spread=(0, 1))
    (found,) = spread_of(plan, "ban")
    by_key = {p.cell.key: p.cell for p in plan.cells}
    steps = [by_key[key] for key in found.requires if by_key[key].role == "step"]
    assert {step.teacher_seed for step in steps} == {1}
    assert "teacher seed 1" in found.label


def test_a_plan_with_a_spread_is_read_back(registry: Registry) -> None:
    plan = plan_of(registry, teacher_spread=(0, 1))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json(), default=dict))) == plan


def test_mistakes_in_a_spread_are_one_line(registry: Registry) -> None:
    with pytest.raises(
        UserError, match=r"unknown method 'kdd' \(benchmark 'seeds', teacher_spread\); did you mean 'kd'"
    ):
        plan_of(registry, {"teacher_spread": {"seeds": "0", "methods": ["kdd"]}})
    with pytest.raises(UserError, match=r"teacher_spread\.seeds"):
        plan_of(registry, {"teacher_spread": {"seeds": "a"}})
