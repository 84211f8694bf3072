"""A field that is added later moves no key while it has its neutral value, and moves it with any other."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, create_model

from kdharness.api.method import Method
from kdharness.api.parameters import Neutral, Parameter, class_parameters
from kdharness.api.specs import MethodSpec
from kdharness.planning import make_plan
from kdharness.planning.cell import digest
from kdharness.planning.neutral import completed_part, key_part, model_part
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, load
from kdharness.protocol.scenario import Few
from kdharness.registry.loading import Plugin, installed_plugins
from kdharness.registry.manager import Registry
from kdharness.registry.source import Source


def grown(model: BaseModel, value: float | None = None) -> Any:
    """The model, of a class that has a further field; value: of that field, else its default."""
    kind = create_model("Grown", __base__=type(model), added=(Annotated[float, Field(ge=0), Neutral(0)], 0.0))
    return kind(**model.model_dump(), **({} if value is None else {"added": value}))


class Plain(Method[None]):
    """A method as it was released."""

    name = "grows"
    weight: float = 0.5


class Later(Plain):
    """The method with two further parameters."""

    hint: Annotated[float, Neutral(0.0)] = 0.0
    limit: Annotated[float, Neutral(float("inf"))] = float("inf")


def registry_with(method: type[Method[Any]]) -> Registry:
    """The installed plugins, and one of a method whose revision does not change."""
    from kdharness.api import hookimpl

    def kdharness_methods() -> list[MethodSpec]:
        return [MethodSpec.of(method, revision=1)]

    hooks = SimpleNamespace(kdharness_methods=hookimpl(kdharness_methods))
    return Registry([*installed_plugins(), Plugin("other", hooks, Source("other", "1", "other.py", "other"))])


def plan_of(registry: Registry, benchmark: Benchmark, *settings: str) -> Plan:
    asked = Selection(methods=("kd", "grows"), seeds=(0,), scenarios=("few100",), settings=settings)
    return make_plan(benchmark, asked, registry)


def identities(plan: Plan) -> list[tuple[str, str]]:
    return [(p.cell.key, p.cell.protocol) for p in plan.cells]


@pytest.fixture(scope="module")
def plain() -> Registry:
    return registry_with(Plain)


def grown_benchmarks(value: float | None) -> Mapping[str, Benchmark]:
    benchmark = load("digits")
    changes = {
        "recipe": {"recipe": grown(benchmark.recipe, value)},
        "scenario": {"scenario": {"few100": grown(Few(kind="few", images=100), value)}},
        "evaluation": {"evaluation": grown(benchmark.evaluation, value)},
    }
    return {name: benchmark.model_copy(update=change) for name, change in changes.items()}


def know_recipe(monkeypatch: pytest.MonkeyPatch, recipe: type[BaseModel]) -> None:
    """Where a cell's recipe is read back, it is of the class that has the further field."""
    for module in ("cell", "compatibility"):
        monkeypatch.setattr(f"kdharness.planning.{module}.Recipe", recipe)


@pytest.mark.parametrize("what", ["recipe", "scenario", "evaluation"])
def test_an_added_field_of_the_protocol_moves_keys_where_it_acts_alone(
    plain: Registry, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities(plan_of(plain, load("digits")))
    assert len(before) == 3
    if what == "recipe":
        know_recipe(monkeypatch, type(grown_benchmarks(None)[what].recipe))
    for neutral in (None, 0.0, 0):
        assert identities(plan_of(plain, grown_benchmarks(neutral)[what])) == before
    plan = plan_of(plain, grown_benchmarks(0.5)[what])
    assert not {name for pair in identities(plan) for name in pair} & {name for pair in before for name in pair}
    assert plan.cells[0].cell.document[what]["added"] == 0.5


def test_an_added_parameter_of_a_method_moves_its_keys_where_it_acts_alone(plain: Registry) -> None:
    later = registry_with(Later)
    benchmark = load("digits")
    before = identities(plan_of(plain, benchmark))
    assert identities(plan_of(later, benchmark)) == before
    assert identities(plan_of(later, benchmark, "grows.hint=0", "grows.limit=inf")) == before
    for setting in ("grows.hint=0.1", "grows.limit=3"):
        plan = plan_of(later, benchmark, setting)
        moved = [p.cell.method for p, old in zip(plan.cells, before, strict=True) if p.cell.key != old[0]]
        assert moved == ["grows"]
    assert plan.cells[-1].cell.parameters == {"weight": 0.5, "hint": 0.0, "limit": 3.0}


def test_a_cell_knows_the_fields_that_its_document_leaves_out(plain: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark = grown_benchmarks(None)["recipe"]
    know_recipe(monkeypatch, type(benchmark.recipe))
    cell = plan_of(plain, benchmark).cells[0].cell
    left_out = {"added": 0.0, "mixup": 0.0, "loss": "ce"}
    assert not left_out.keys() & cell.document["recipe"].keys()
    assert cell.recipe.items() >= {**cell.document["recipe"], **left_out}.items()


def test_what_is_left_out_is_the_neutral_value_though_the_default_be_another() -> None:
    class Now(BaseModel):
        decay: Annotated[float, Neutral(0.0)] = 0.999
        on: Annotated[bool, Neutral(False)] = False
        names: Annotated[tuple[str, ...], Neutral(("a",))] = ("a",)

    assert model_part(Now()) == {"decay": 0.999}
    assert model_part(Now(decay=0, on=True, names=("b",))) == {"on": True, "names": ["b"]}
    assert completed_part({}, Now) == {"decay": 0.0, "on": False, "names": ["a"]}
    assert digest(model_part(Now(decay=0))) == digest({})


def test_a_truth_value_is_no_number() -> None:
    parameters = (Parameter("level", Annotated[int | bool, Neutral(0)], 0),)
    assert key_part({"level": 0}, parameters) == {}
    assert key_part({"level": False}, parameters) == {"level": False}


def test_parameters_say_their_neutral_value() -> None:
    found = {p.name: p.neutral for p in class_parameters(Later, Method)}
    assert found == {"weight": None, "hint": Neutral(0.0), "limit": Neutral(float("inf"))}
    assert {p.type_name for p in class_parameters(Later, Method)} == {"float"}
