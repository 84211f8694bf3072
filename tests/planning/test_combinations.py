"""Methods that are trained as one, in a plan: names, parameters and where they come from, keys, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load, parse
from kdharness.registry.manager import Registry

BASE: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4", "conv16:conv4"],
    "seeds": [0],
    "run": ["at+kd"],
    "recipe": {"epochs": 2},
}


def plan_of(registry: Registry, content: dict[str, Any] | None = None, **selection: Any) -> Plan:
    return make_plan(parse({**BASE, **(content or {})}, "small.toml"), Selection(**selection), registry)


def students(plan: Plan) -> list[Cell]:
    return [planned.cell for planned in plan.cells if planned.cell.role == "student"]


def test_it_is_a_row_of_its_own_with_the_parameters_of_its_parts(registry: Registry) -> None:
    plan = plan_of(registry, methods=("kd", "at + kd"))
    assert [cell.label for cell in students(plan)] == [
        "kd conv8:conv4 digits seed 0", "at+kd conv8:conv4 digits seed 0",
        "kd conv16:conv4 digits seed 0", "at+kd conv16:conv4 digits seed 0",
    ]  # fmt: skip
    assert not any(planned.skip for planned in plan.cells)
    cell = students(plan)[1]
    assert (cell.parameters["at.power"], cell.parameters["kd.temperature"], cell.variant) == (2, 4.0, "")
    assert (cell.method_package, cell.method_revision) == ("kdharness", "at 1, kd 1")


def test_its_key_holds_name_parameters_and_plugin_of_each_part(registry: Registry) -> None:
    (cell, _) = students(plan_of(registry))
    method = cell.document["method"]
    assert method["name"] == "at+kd"
    assert method["plugin"] == {name: {"package": "kdharness", "revision": 1} for name in ("at", "kd")}
    assert method["parameters"] == {
        "at.ce_weight": 1.0, "at.weight": 1000.0, "at.power": 2,
        "kd.ce_weight": 0.1, "kd.weight": 0.9, "kd.temperature": 4.0,
    }  # fmt: skip  # kd.answers is neutral, as it is in kd's own key
    other = students(plan_of(registry, {"run": ["kd+at"]}))[0]
    assert other.key != cell.key  # the first part has the task term


def test_the_command_sets_parameters_of_one_part(registry: Registry) -> None:
    cell = students(plan_of(registry, {"run": ["kd", "at+kd"]}, settings=("at+kd.kd.temperature=2",)))
    assert [(c.method, c.variant) for c in cell[:2]] == [("kd", ""), ("at+kd", "kd.temperature=2")]


def test_what_a_benchmark_says_of_a_part_holds_for_it_here(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        'datasets = ["digits"]\npairs = ["conv8:conv4", "conv16:conv4"]\nseeds = "0"\nrun = ["at+kd"]\n'
        "[recipe]\nepochs = 2\n"
        '[methods.kd]\ntemperature = 3\n[methods.kd.pairs."conv16:conv4"]\ntemperature = 5\n'
        '[methods."at+kd"]\nat.power = 4\n'
        '[[variants]]\nmethod = "at+kd"\nparameters = { kd.weight = 0.5 }\nwithout = ["at.at"]\n'
    )
    plan = make_plan(load(str(path)), Selection(), registry)
    found = [
        (c.shown_pair, c.variant, c.parameters["kd.temperature"], c.parameters["at.power"]) for c in students(plan)
    ]
    assert found == [
        ("conv8:conv4", "", 3.0, 4), ("conv8:conv4", "kd.weight=0.5,without=at.at", 3.0, 4),
        ("conv16:conv4", "", 5.0, 4), ("conv16:conv4", "kd.weight=0.5,without=at.at", 5.0, 4),
    ]  # fmt: skip


def test_claims_and_references_may_speak_of_it(registry: Registry) -> None:
    claim = {"text": "both are better than one", "better": "at+kd[kd.temperature=2.0]", "than": "kd"}
    plan = plan_of(registry, {"run": ["kd", "at+kd"], "references": ["vanilla", "at+kd"], "claims": [claim]})
    assert plan.claims[0].better == "at+kd[kd.temperature=2]"
    assert not plan.warnings
    absent = plan_of(registry, {"run": ["kd"], "references": ["vanilla", "at+kdd"]})
    assert [line for line in absent.warnings if "'kdd'" in line]


@pytest.mark.parametrize("settings", [("takd+kd.takd.assistant=conv8",), ()])
def test_parts_that_other_cells_teach_are_skipped_with_the_reason(
    registry: Registry, settings: tuple[str, ...]
) -> None:
    plan = plan_of(registry, {"run": ["takd+kd"], "pairs": ["conv16:conv4"]}, settings=settings)
    (skip,) = {planned.skip for planned in plan.cells if planned.cell.role == "student"}
    assert "'takd' and 'kd' are not taught by the same cells" in skip


def test_what_a_part_lacks_is_advised_by_the_setting_that_gives_it(registry: Registry) -> None:
    content = {"run": ["vanilla+takd"], "pairs": ["conv16:conv4"]}
    (skip,) = {planned.skip for planned in plan_of(registry, content).cells if planned.cell.role == "student"}
    assert skip.startswith("no assistant is named for this pair")
    advised = skip.rpartition("--set ")[2].removesuffix("=MODEL)")
    assert advised == "vanilla+takd.takd.assistant"
    assert not any(p.skip for p in plan_of(registry, content, settings=(f"{advised}=conv8",)).cells)


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        ({"methods": ("kd+byot",)}, "method 'kd+byot' (--methods): 'byot' cannot be combined with others: it has a"),
        ({"methods": ("kd+att",)}, "unknown method 'att' (--methods)"),
        ({"settings": ("at+kd.temperature=2",)}, "unknown parameter of method 'at+kd' 'temperature'"),
        ({"settings": ("at+kd.without=kd",)}, "unknown loss term of method 'at+kd' 'kd'"),
        ({"methods": ("kd+",)}, "method 'kd+' (--methods): a name is missing beside '+'"),
        ({"methods": ("kd++at",)}, "method 'kd++at' (--methods): a name is missing beside '+'"),
        (
            {"settings": ("kd.temperature=2",)},
            "--set kd.temperature: method 'kd' is not among those that run; as a part: --set at+kd.kd.temperature",
        ),
        ({"skip": ("at+kd",)}, "no method is left: --skip takes them all away"),
    ],
)
def test_mistakes(registry: Registry, selection: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as error:
        plan_of(registry, **selection)
    assert str(error.value).startswith(says)


def test_an_unproved_part_is_said(tmp_path: Path) -> None:
    path = tmp_path / "bold.py"
    path.write_text(
        "from kdharness.api import Method, MethodSpec, hookimpl\n"
        "class Bold(Method):\n    name = 'bold'\n    unproved = 'a run'\n    terms = {'bold': 'distill'}\n"
        "@hookimpl\ndef kdharness_methods():\n    return [MethodSpec.of(Bold)]\n"
    )
    plan = plan_of(Registry.load([path]), {"run": ["kd+bold"]})
    assert "method 'kd+bold' is unproved, and no part of 'all': bold: a run" in plan.warnings
