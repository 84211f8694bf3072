"""Recipes as an axis: students under each, teachers once, every mistake in one line."""

from __future__ import annotations

from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

CONTENT: dict[str, Any] = {
    "name": "axis",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4"],
    "seeds": [0],
    "run": ["vanilla", "kd"],
    "recipe": {"epochs": 4, "lr": 0.1},
    "teacher": {"epochs": 2},
    "models": {"conv4": {"lr": 0.02}},
    "recipes": {"short": {"epochs": 2}, "adam": {"optimizer": "adam", "lr": 1e-3}},
}


def plan_of(registry: Registry, changes: dict[str, Any] | None = None, **selection: Any) -> Plan:
    return make_plan(parse({**CONTENT, **(changes or {})}, "axis.toml"), Selection(**selection), registry)


def students(plan: Plan, method: str = "kd") -> dict[str, Cell]:
    """By recipe."""
    return {p.cell.recipe_name: p.cell for p in plan.cells if (p.cell.role, p.cell.method) == ("student", method)}


def teachers(plan: Plan) -> list[Cell]:
    return [p.cell for p in plan.cells if p.cell.role == "teacher"]


def error_of(registry: Registry, changes: dict[str, Any] | None = None, **selection: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan_of(registry, changes, **selection)
    return str(caught.value)


def test_students_run_under_each_recipe_and_teachers_once(registry: Registry) -> None:
    plan = plan_of(registry)
    found = students(plan)
    (teacher,) = teachers(plan)
    assert [(n, c.recipe["epochs"], c.recipe["lr"], c.recipe["optimizer"]) for n, c in found.items()] == [
        ("standard", 4, 0.02, "sgd"),
        ("short", 2, 0.02, "sgd"),
        ("adam", 4, 0.001, "adam"),
    ]
    assert (teacher.recipe_name, teacher.recipe["epochs"], teacher.recipe["optimizer"]) == ("", 2, "sgd")
    assert {source.cell for cell in found.values() for source in cell.teachers} == {teacher.key}
    assert len({cell.protocol for cell in found.values()}) == 3
    assert {name: cell.protocol for name, cell in students(plan, "vanilla").items()} == {
        name: cell.protocol for name, cell in found.items()
    }
    assert {cell.deviations for cell in found.values()} == {""}


def test_a_benchmark_without_recipes_has_the_keys_of_its_standard_one(registry: Registry) -> None:
    alone, empty = plan_of(registry, {"recipes": {}}), plan_of(registry, {"recipes": {"standard": {}}})
    several = plan_of(registry)
    for plan in (empty, several):
        assert students(plan)["standard"].key == students(alone)["standard"].key
        assert students(plan)["standard"].protocol == students(alone)["standard"].protocol
        assert teachers(plan)[0].key == teachers(alone)[0].key
    assert list(students(empty)) == ["standard"]


def test_a_recipe_of_the_usual_name_changes_that_for_students(registry: Registry) -> None:
    changes = {"recipe_name": "usual", "recipes": {"usual": {"epochs": 3}}}
    plan = plan_of(registry, changes)
    assert {name: cell.recipe["epochs"] for name, cell in students(plan).items()} == {"usual": 3}
    assert teachers(plan)[0].key == teachers(plan_of(registry))[0].key


def test_recipes_are_chosen_and_the_choice_is_no_deviation(registry: Registry) -> None:
    plan = plan_of(registry, recipes=("adam", "standard", "adam"))
    assert list(students(plan)) == ["adam", "standard"]
    assert students(plan)["adam"].key == students(plan_of(registry))["adam"].key


def test_a_setting_of_students_moves_no_teacher(registry: Registry) -> None:
    usual, plan = plan_of(registry), plan_of(registry, settings=("student.lr=0.3",))
    assert teachers(plan) == teachers(usual)
    for name, cell in students(plan).items():
        assert (cell.recipe["lr"], cell.deviations) == (0.3, "student.lr=0.3")
        assert cell.key != students(usual)[name].key
        assert cell.protocol != students(usual)[name].protocol


def test_a_setting_of_the_recipe_holds_for_everyone(registry: Registry) -> None:
    plan = plan_of(registry, settings=("recipe.lr=0.3",))
    assert {cell.recipe["lr"] for cell in (*students(plan).values(), *teachers(plan))} == {0.3}
    assert {cell.deviations for cell in students(plan).values()} == {"recipe.lr=0.3"}
    both = plan_of(registry, settings=("recipe.lr=0.3", "student.lr=0.4"), recipes=("standard",))
    assert (students(both)["standard"].recipe["lr"], teachers(both)[0].recipe["lr"]) == (0.4, 0.3)


def test_a_setting_of_a_model_outweighs_every_recipe(registry: Registry) -> None:
    plan = plan_of(registry, settings=("conv4.lr=0.3",))
    assert {cell.recipe["lr"] for cell in students(plan).values()} == {0.3}
    assert {cell.deviations for cell in students(plan).values()} == {"conv4.lr=0.3"}


def test_a_recipe_that_a_command_makes_equal_to_another_is_left_out(registry: Registry) -> None:
    plan = plan_of(registry, epochs=3)
    assert list(students(plan)) == ["standard", "adam"]
    assert "recipe 'short' is left out: it is the same as 'standard'" in plan.warnings
    # What is said of a recipe and no longer holds is a deviation, though it is what the usual recipe has.
    plan = plan_of(registry, epochs=4, recipes=("short",))
    assert students(plan)["short"].deviations == "recipe.epochs=4"


def test_steps_have_the_recipe_of_what_they_lead_to(registry: Registry) -> None:
    plan = plan_of(registry, {"run": ["ban"]}, recipes=("adam",))
    (step,) = (p.cell for p in plan.cells if p.cell.role == "step")
    assert (step.recipe_name, step.recipe["optimizer"]) == ("adam", "adam")


@pytest.mark.parametrize(
    ("changes", "selection", "says"),
    [
        ({}, {"recipes": ("adm",)}, "unknown recipe 'adm' (--recipes); did you mean 'adam'?"),
        ({}, {"recipes": ()}, "no recipe is left: --recipes names none"),
        ({"recipes": {"a": {"epoch": 1}}}, {}, "axis.toml: unknown key 'recipes.a.epoch'; did you mean 'epochs'?"),
        ({"recipes": {"a b": {}}}, {}, "axis.toml: recipe 'a b': a name is of letters, digits, '-', '_' and '.'"),
        (
            {},
            {"settings": ("student.optimizer=sdg",)},
            "unknown optimizer 'sdg' (--set student.optimizer); did you mean 'sgd'?",
        ),
        ({}, {"settings": ("student.lrr=1",)}, "unknown recipe field 'lrr' (--set student.lrr); did you mean 'lr'?"),
        (
            {},
            {"settings": ("student.lr=-1",)},
            "--set student.lr=-1: student.lr = '-1': input should be greater than 0",
        ),
        (
            {"claims": [{"text": "t", "better": "kd", "than": "vanilla", "recipe": "adm"}]},
            {},
            "unknown recipe 'adm' (benchmark 'axis', claim 1); did you mean 'adam'?",
        ),
    ],
)
def test_mistakes_are_one_line(
    registry: Registry, changes: dict[str, Any], selection: dict[str, Any], says: str
) -> None:
    assert error_of(registry, changes, **selection) == says
