"""Tables of models: recipe fields and parameters, from the benchmark and from --set, to keys and factories."""

from __future__ import annotations

from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.networks import network_text
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

CONTENT: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["vit_micro_p2:conv4"],
    "run": ["kd", "vanilla"],
    "seeds": [0],
    "recipe": {"epochs": 2},
}


def plan_of(registry: Registry, models: dict[str, dict[str, Any]], *settings: str, **changes: Any) -> Plan:
    benchmark = parse({**CONTENT, "models": models, **changes}, "small.toml")
    return make_plan(benchmark, Selection(settings=settings), registry)


def parts(plan: Plan) -> dict[str, dict[str, Any]]:
    """What the documents say of each trained model's network beside name and plugin, and its learning rate."""
    found = {}
    for planned in plan.cells:
        network = {k: v for k, v in planned.cell.document["student"].items() if k not in ("name", "plugin")}
        found[planned.cell.student] = {**network, "lr": planned.cell.recipe["lr"]}
    return found


def test_a_table_holds_recipe_fields_and_parameters(registry: Registry) -> None:
    plan = plan_of(registry, {"vit_micro_p2": {"lr": 0.01, "drop_path": 0.1, "width": 32}})
    assert parts(plan) == {"vit_micro_p2": {"lr": 0.01, "parameters": {"drop_path": 0.1}}, "conv4": {"lr": 0.05}}
    assert {p.cell.deviations for p in plan.cells} == {""}
    student = next(p.cell for p in plan.cells if p.cell.method == "kd")
    assert student.document["teachers"][0]["parameters"] == {"drop_path": 0.1}
    assert network_text(student.network("vit_micro_p2")) == "vit_micro_p2@drop_path=0.1"
    assert network_text(student.network("conv4")) == "conv4"


def test_set_says_the_same_and_is_a_deviation(registry: Registry) -> None:
    plain = plan_of(registry, {})
    settings = ("vit_micro_p2.drop_path=0.1", "vit_micro_p2.lr=0.01", "vit_micro_p2.depth=4", "conv4.momentum=0.9")
    plan = plan_of(registry, {}, *settings)
    declared = plan_of(registry, {"vit_micro_p2": {"lr": 0.01, "drop_path": 0.1}})
    assert [p.cell.key for p in plan.cells] == [p.cell.key for p in declared.cells]
    assert {p.cell.deviations for p in plan.cells} == {"vit_micro_p2.lr=0.01; vit_micro_p2.drop_path=0.1"}
    assert len({p.cell.protocol for each in (plain, plan) for p in each.cells}) == 2
    vanilla = {p.cell.key for each in (plain, plan) for p in each.cells if p.cell.method == "vanilla"}
    assert len(vanilla) == 3  # both teachers, and the student, which has nothing to do with them


def test_what_is_the_default_is_in_no_key(registry: Registry) -> None:
    plain, same = plan_of(registry, {}), plan_of(registry, {"vit_micro_p2": {"drop_path": 0, "depth": 4}})
    assert [(p.cell.key, p.cell.protocol) for p in plain.cells] == [(p.cell.key, p.cell.protocol) for p in same.cells]


def test_set_goes_before_the_benchmark(registry: Registry) -> None:
    models = {"vit_micro_p2": {"drop_path": 0.2, "lr": 0.02}}
    plan = plan_of(registry, models, "vit_micro_p2.drop_path=0", "vit_micro_p2.lr=0.03", "recipe.lr=0.04")
    assert parts(plan) == {"vit_micro_p2": {"lr": 0.03}, "conv4": {"lr": 0.04}}
    assert plan.cells[0].cell.deviations == "recipe.lr=0.04; vit_micro_p2.lr=0.03; vit_micro_p2.drop_path=0"


@pytest.mark.parametrize(
    ("table", "settings", "says"),
    [
        (
            {"epoch": 3},
            (),
            "unknown recipe field or parameter of model 'vit_micro_p2' 'epoch' (benchmark 'small'); did you mean 'epo",
        ),
        (
            {},
            ("vit_micro_p2.droppath=0",),
            "unknown recipe field or parameter of model 'vit_micro_p2' 'droppath' (--set vit_micro_p2.droppath); "
            "did you mean 'drop_path'",
        ),
        ({"drop_path": 1.5}, (), "model 'vit_micro_p2': parameter 'drop_path': 1.5 is not a valid float: "),
        ({}, ("vit_micro_p2.depth=x",), "model 'vit_micro_p2': parameter 'depth': 'x' is not a valid int: "),
        ({"lr": "fast"}, (), "small.toml: models.vit_micro_p2.lr = 'fast': input should be a valid number"),
        ({}, ("vit_micro_p2.lr=fast",), "--set vit_micro_p2.lr=fast: vit_micro_p2.lr = 'fast': input should be"),
        ({}, ("deit_micro_p2.lr=1",), "--set deit_micro_p2.lr: model 'deit_micro_p2' is not among those that run"),
    ],
)
def test_what_a_model_has_not_is_told_in_one_line(
    registry: Registry, table: dict[str, Any], settings: tuple[str, ...], says: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan_of(registry, {"vit_micro_p2": table}, *settings)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_a_parameter_that_does_not_fit_skips_the_model(registry: Registry) -> None:
    plan = plan_of(registry, {}, "vit_micro_p2.depth=6")
    fault = "depth must be a multiple of 4, width one of 2, not 6 and 32"
    reason = f"model 'vit_micro_p2' cannot take 1x8x8 images: {fault}"
    assert {p.skip for p in plan.cells if p.cell.student == "vit_micro_p2"} == {reason}


def test_a_model_that_nobody_provides_is_warned_of(registry: Registry) -> None:
    plan = plan_of(registry, {"elsewhere": {"anything": 1}})
    assert [warning.startswith("unknown model 'elsewhere' (benchmark 'small')") for warning in plan.warnings] == [True]


@pytest.mark.parametrize(("name", "kind"), [("top1", "a metric"), ("kd", "a method"), ("digits", "a dataset")])
def test_a_table_of_models_that_names_something_else_is_told_so(registry: Registry, name: str, kind: str) -> None:
    plan = plan_of(registry, {name: {"anything": 1}})
    assert plan.warnings == (f"unknown model '{name}' (benchmark 'small'); there is {kind} of this name",)
