"""Variants and claims of a benchmark file: what they become in a plan, and how mistakes are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import MethodChoice, Selection
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.registry.manager import Registry

BASE: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv32:conv16"],
    "seeds": "0-1",
    "run": ["vanilla", "kd"],
    "recipe": {"epochs": 1},
}
HOT = {"method": "kd", "parameters": {"temperature": 8}}
CLAIM = {"text": "Soft targets help", "better": "kd", "than": "vanilla"}


def benchmark(**changes: Any) -> Benchmark:
    return parse({**BASE, **changes}, "small.toml")


def plan(registry: Registry, content: Mapping[str, Any], **selection: Any) -> Plan:
    return make_plan(benchmark(**content), Selection(**selection), registry)


def variants(plan: Plan) -> list[tuple[str, str]]:
    """(method, variant) of the student cells of seed 0, in the plan's order."""
    return [(p.cell.method, p.cell.variant) for p in plan.cells if p.cell.role == "student" and p.cell.seed == 0]


def test_variants_run_beside_the_plain_methods(registry: Registry) -> None:
    content = {"variants": [HOT, {"method": "kd", "without": ["ce"]}]}
    assert variants(plan(registry, content)) == [
        ("vanilla", ""), ("kd", ""), ("kd", "temperature=8"), ("kd", "without=ce"),
    ]  # fmt: skip


@pytest.mark.parametrize("selection", [{"methods": ("vanilla",)}, {"skip": ("kd",)}])
def test_a_variant_runs_only_with_its_method(registry: Registry, selection: dict[str, Any]) -> None:
    assert variants(plan(registry, {"variants": [HOT]}, **selection)) == [("vanilla", "")]


def test_chosen_methods_are_all_there_is_when_given(registry: Registry) -> None:
    found = plan(registry, {"variants": [HOT]}, choices=(MethodChoice("kd", without=("ce",)),))
    assert variants(found) == [("kd", "without=ce")]


def test_a_variant_equal_to_the_plain_method_is_the_same_cell(registry: Registry) -> None:
    same = {"method": "kd", "parameters": {"temperature": "4.0"}}
    assert variants(plan(registry, {"variants": [same]})) == [("vanilla", ""), ("kd", "")]


def test_what_makes_a_variant_outweighs_set(registry: Registry) -> None:
    found = plan(registry, {"variants": [HOT]}, settings=("kd.temperature=2", "kd.weight=1"))
    assert ("kd", "temperature=2,weight=1") in variants(found)
    assert ("kd", "temperature=8,weight=1") in variants(found)


def test_without_any_term_a_cell_is_skipped_with_its_reason(registry: Registry) -> None:
    content = {"variants": [{"method": "vanilla", "without": ["ce"]}, {"method": "kd", "without": ["ce", "kd"]}]}
    skips = {p.cell.variant: p.skip for p in plan(registry, content).cells if p.cell.variant}
    assert skips == {
        "without=ce": "without ce no loss term is left to train by",
        "without=ce,without=kd": "without ce and kd no loss term is left to train by",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"variants": [{"method": "kd", "parameter": {}}]},
            "unknown key 'variants.0.parameter'; did you mean 'parameters'",
        ),
        ({"variants": [{"parameters": {}}]}, "the key 'variants.0.method' is missing"),
        ({"claims": [{"text": "a", "better": "kd"}]}, "the key 'claims.0.than' is missing"),
        ({"claims": [{**CLAIM, "metrik": "nll"}]}, "unknown key 'claims.0.metrik'; did you mean 'metric'"),
        ({"claims": [{**CLAIM, "text": ""}]}, "claims.0.text = ''"),
        ({"claims": [{**CLAIM, "at_least": "much"}]}, "claims.0.at_least = 'much'"),
        ({"claims": [{**CLAIM, "pair": "conv32"}]}, "claims.0.pair = 'conv32'"),
        ({"claims": [{**CLAIM, "than": "kd"}]}, "compares 'kd' with itself"),
    ],
)
def test_mistakes_in_the_file(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        benchmark(**content)
    assert message in str(error.value)
    assert str(error.value).startswith("small.toml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"variants": [{"method": "kdd"}]}, "unknown method 'kdd' (benchmark 'small', variants); did you mean 'kd'"),
        (
            {"variants": [{"method": "kd", "parameters": {"temprature": 2}}]},
            "unknown parameter of method 'kd' 'temprature' (benchmark 'small', variants); did you mean 'temperature'",
        ),
        (
            {"variants": [{"method": "kd", "parameters": {"temperature": "hot"}}]},
            "method 'kd': parameter 'temperature': ",
        ),
        ({"variants": [{"method": "kd", "without": ["hint"]}]}, "unknown loss term of method 'kd' 'hint'"),
        ({"claims": [{**CLAIM, "better": "kdd"}]}, "unknown method 'kdd' (benchmark 'small', claim 1)"),
        ({"claims": [{**CLAIM, "better": "kd[temprature=2]"}]}, "unknown parameter of method 'kd' 'temprature'"),
        ({"claims": [{**CLAIM, "better": "kd[hot]"}]}, "'hot' in 'kd[hot]' is not of the form parameter=value"),
        ({"claims": [{**CLAIM, "better": "kd[weight=1"}]}, "'kd[weight=1' is not of the form method or method["),
        ({"claims": [{**CLAIM, "better": "kd[without=hint]"}]}, "unknown loss term of method 'kd' 'hint'"),
        ({"claims": [{**CLAIM, "scenario": "cleen"}]}, "unknown scenario 'cleen' (benchmark 'small', claim 1)"),
        ({"claims": [{**CLAIM, "dataset": "digit"}]}, "unknown dataset 'digit' (benchmark 'small', claim 1)"),
    ],
)
def test_mistakes_that_the_registry_knows(registry: Registry, content: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(registry, content)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


MEAL = {"run": ["meal"], "metrics": ["all"]}


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ({}, ("meal.without=simlarity",), "'simlarity' (--set meal.without); did you mean 'similarity'?"),
        ({}, ("meal.without=ce",), "'ce' (--set meal.without); valid: adversarial, similarity"),
        (
            {"variants": [{"method": "meal", "without": ["adversary"]}]},
            (),
            "'adversary' (benchmark 'small', variants); did you mean 'adversarial'?",
        ),
        (
            {"methods": {"meal": {"without": "adversary"}}},
            ("meal.warm_start=false",),
            "'adversary' (benchmark 'small'); did you mean 'adversarial'?",
        ),
    ],
)
def test_terms_that_follow_from_parameters_are_checked(
    registry: Registry, content: dict[str, Any], settings: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as error:
        plan(registry, {**MEAL, **content}, settings=settings)
    assert str(error.value) == f"unknown loss term of method 'meal' {message}"


def test_a_variant_may_leave_out_a_term_that_its_parameters_switch_on(registry: Registry) -> None:
    variant = {"method": "meal", "parameters": {"hard_label_weight": 0.3}, "without": ["ce"]}
    found = plan(registry, {**MEAL, "variants": [variant]})
    assert ("meal", "hard_label_weight=0.3,without=ce") in variants(found)
    assert not any(planned.skip for planned in found.cells)


def test_a_term_that_only_set_takes_away_is_a_reason_to_skip(registry: Registry) -> None:
    content = {**MEAL, "variants": [{"method": "meal", "without": ["adversarial"]}]}
    found = plan(registry, content, settings=("meal.adv_mode=none",))
    assert {p.cell.variant: p.skip for p in found.cells if p.cell.role == "student"} == {
        "adv_mode=none": "",
        "adv_mode=none,without=adversarial": (
            "without names the term 'adversarial', which 'meal' lacks (it has similarity)"
        ),
    }


def test_a_plan_carries_claims_with_all_that_follows(registry: Registry) -> None:
    claims = [
        CLAIM,
        {**CLAIM, "at_least": 1},
        {**CLAIM, "metric": "nll"},
        {**CLAIM, "metric": "latency_seconds", "predictor": "exit1"},
        {**CLAIM, "metric": "sharpness", "smaller": True, "equal_within": 3},
        {**CLAIM, "metric": "class_separation_stage1"},
        {**CLAIM, "metric": "weight_noise_top1_20"},
        {**CLAIM, "metric": "top1_last10"},
        {**CLAIM, "metric": "student_macs"},
    ]
    found = plan(registry, {"claims": claims})
    assert [(c.smaller, c.equal_within) for c in found.claims] == [
        (False, 0.2), (False, 0.0), (True, 0.0), (True, 0.0), (True, 3.0),
        (True, 0.0), (False, 0.2), (False, 0.2), (True, 0.0),
    ]  # fmt: skip
    assert Plan.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("kd[temperature=8.0]", "kd[temperature=8]"),
        ("kd[weight=1,temperature=8]", "kd[temperature=8,weight=1]"),
        ("kd[without=kd,without=ce]", "kd[without=ce,without=kd]"),
        ("kd[temperature=4]", "kd"),
        (" kd [ temperature = 8 ]", "kd[temperature=8]"),
    ],
)
def test_claims_name_variants_as_tables_do(registry: Registry, written: str, shown: str) -> None:
    assert plan(registry, {"claims": [{**CLAIM, "better": written}]}).claims[0].better == shown


def test_a_benchmark_may_have_parameters_of_its_own(registry: Registry) -> None:
    content = {
        "methods": {"kd": {"temperature": 8}},
        "variants": [HOT],
        "claims": [{**CLAIM, "better": "kd[temperature=8]"}],
    }
    found = plan(registry, content)
    assert variants(found) == [("vanilla", ""), ("kd", "")]
    assert found.claims[0].better == "kd"
