"""What a benchmark and a command become once everything is looked up: places of values, and who runs where."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.requirements import Pair
from kdharness.errors import UserError
from kdharness.planning.asked import ask
from kdharness.planning.choices import ChosenMethod
from kdharness.planning.resolve import Resolved, resolve
from kdharness.planning.selection import MethodChoice, Selection
from kdharness.protocol.benchmark import parse
from kdharness.protocol.variant import Setup, Value
from kdharness.registry.manager import Registry

BASE: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4", "conv16:conv4"],
    "seeds": [0],
    "run": ["vanilla", "kd"],
    "recipe": {"epochs": 2},
}
FIRST, SECOND = Pair(("conv8",), "conv4"), Pair(("conv16",), "conv4")


def resolved(registry: Registry, content: dict[str, Any] | None = None, **selection: Any) -> Resolved:
    return resolve(ask(parse({**BASE, **(content or {})}, "small.toml"), Selection(**selection)), registry)


def chosen(found: Resolved, method: str, variant: str = "") -> ChosenMethod:
    return next(c for c in found.chosen if c.name == method and c.setups[FIRST].variant == variant)


# -- places ------------------------------------------------------------------------------------------------------------


def test_every_parameter_knows_where_it_was_given(registry: Registry) -> None:
    content = {
        "methods": {"kd": {"temperature": "3", "pairs": {"conv16:conv4": {"weight": 0.5, "without": "ce"}}}},
        "variants": [{"method": "kd", "parameters": {"ce_weight": 2}, "without": ["kd"]}],
    }
    found = resolved(registry, content, settings=("kd.temperature=2",))
    whole, variant = (c.setups for c in found.chosen if c.name == "kd")
    assert whole[FIRST].parameters == {
        "temperature": Value(2.0, "--set kd.temperature"),
        "weight": Value(whole[FIRST].own["weight"].value, "default"),
        "ce_weight": Value(whole[FIRST].own["ce_weight"].value, "default"),
        "answers": Value("own", "default"),
        "edit": Value("none", "default"),
        "weighting": Value("none", "default"),
        "weight_temperature": Value(3.0, "default"),
    }
    assert whole[FIRST].own["temperature"] == Value(3.0, "benchmark 'small'")
    assert whole[FIRST].variant == "temperature=2"
    assert whole[FIRST].without == {}
    assert whole[SECOND].parameters["weight"] == Value(0.5, "benchmark 'small'")
    assert whole[SECOND].without == {"ce": "benchmark 'small'"}
    assert variant[FIRST].parameters["ce_weight"] == Value(2.0, "benchmark 'small', variants")
    assert variant[FIRST].parameters["temperature"].place == "--set kd.temperature"
    assert variant[SECOND].without == {"ce": "benchmark 'small'", "kd": "benchmark 'small', variants"}


def test_terms_on_the_command_line_stand_for_the_benchmarks(registry: Registry) -> None:
    found = resolved(registry, {"methods": {"kd": {"without": "ce"}}}, settings=("kd.without=kd",))
    assert chosen(found, "kd", "without=kd").setups[FIRST].without == {"kd": "--set kd.without"}


def test_whether_the_command_line_has_a_say(registry: Registry) -> None:
    def say(*settings: str, **content: Any) -> list[bool]:
        found = resolved(registry, content, settings=settings)
        return [c.setups[FIRST].is_commanded for c in found.chosen]

    assert say() == [False, False]
    assert say("kd.temperature=4") == [False, True]  # though it is the default
    assert say("kd.without=ce") == [False, True]
    assert say("recipe.lr=0.3", methods={"kd": {"weight": 1}}) == [False, False]


def test_a_value_in_the_file_is_checked_though_another_outweighs_it(registry: Registry) -> None:
    with pytest.raises(UserError, match=r"method 'kd': parameter 'weight': 'much' is not .* \(benchmark 'small'\)"):
        resolved(registry, {"methods": {"kd": {"weight": "much"}}}, settings=("kd.weight=1",))


def test_a_variant_of_what_does_not_run_is_checked(registry: Registry) -> None:
    for variant, says in (
        ({"method": "at", "parameters": {"wieght": 1}}, "unknown parameter of method 'at' 'wieght'"),
        ({"method": "at", "without": ["kd"]}, "unknown loss term of method 'at' 'kd'"),
    ):
        with pytest.raises(UserError, match=rf"{says} \(benchmark 'small', variants\)"):
            resolved(registry, {"variants": [variant]})


def test_an_ablation_has_no_setup_where_there_is_no_such_part(registry: Registry) -> None:
    content = {"methods": {"meal": {"pairs": {"conv16:conv4": {"adv_mode": "none"}}}}}
    choice = MethodChoice("meal", without=("adversarial",), part="meal without adversarial")
    found = resolved(registry, content, choices=(choice,))
    assert list(found.chosen[0].setups) == [FIRST]


def test_each_missing_term_is_blamed_on_its_own_place(registry: Registry) -> None:
    """Both go by --set. The file's own is a reason to skip, that of the command line a mistake."""
    choice = MethodChoice("meal", without=("adversarial",), place="benchmark 'small', variants")
    content = {"methods": {"meal": {"hard_label_weight": 0.3}}}
    gone = ("meal.adv_mode=none", "meal.hard_label_weight=0")
    found = resolved(registry, content, choices=(choice,), settings=gone)
    assert list(found.chosen[0].setups[FIRST].without) == ["adversarial"]
    with pytest.raises(UserError, match=r"'ce' \(--set meal\.without\); valid: similarity"):
        resolved(registry, content, choices=(choice,), settings=(*gone, "meal.without=ce"))


# -- the record --------------------------------------------------------------------------------------------------------


def test_it_is_frozen_and_equal_to_another_of_the_same(registry: Registry) -> None:
    found = resolved(registry)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.seeds = (1,)  # type: ignore[misc]
    assert found == resolved(registry)
    assert found != resolved(registry, seeds=(1,))


def test_axes_of_the_benchmark_and_of_the_command(registry: Registry) -> None:
    found = resolved(registry)
    assert (found.benchmark, found.pairs, found.seeds) == ("small", (FIRST, SECOND), (0,))
    assert [(c.name, c.scenarios, c.part) for c in found.chosen] == [
        ("vanilla", ("clean",), ""),
        ("kd", ("clean",), ""),
    ]
    assert (found.own_pairs, found.own_scenarios, found.files) == (found.pairs, ("clean",), {})
    asked = resolved(registry, pairs=("conv16:conv4",) * 2, seeds=(3, 1), scenarios=("few20", "clean"))
    assert (asked.pairs, asked.seeds, list(asked.scenarios)) == ((SECOND,), (3, 1), ["few20", "clean"])
    assert (asked.own_pairs, asked.own_scenarios) == ((FIRST, SECOND), ("clean",))


def test_everything_installed_is_in_it(registry: Registry) -> None:
    """For a method's requires() may name any of it."""
    found = resolved(registry)
    assert set(found.methods.by_name) == set(registry.methods)
    assert set(found.models.by_name) == set(registry.models)
    kd = found.methods.get("kd")
    assert (kd.package, kd.stamp) == ("kdharness", {"package": "kdharness", "revision": 1})
    with pytest.raises(UserError, match="unknown model 'conv33'; did you mean 'conv32'"):
        found.models.get("conv33")


def test_files_of_teachers(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(b"weights")
    found = resolved(registry, teachers=(f"conv8={file}",))
    assert found.files["conv8"].path == str(file.resolve())
    assert found.files["conv8"].sha256 == hashlib.sha256(b"weights").hexdigest()
    for given, says in (
        (str(file), r"--teacher .*: name its model, as model=FILE; the pairs have conv16, conv8"),
        (f"conv9={file}", r"unknown teacher model 'conv9' \(--teacher\); did you mean 'conv8'"),
        (f"conv8={tmp_path}/none", r"--teacher: file .*none cannot be read: No such file or directory"),
    ):
        with pytest.raises(UserError, match=says):
            resolved(registry, teachers=(given,))


# -- where methods run -------------------------------------------------------------------------------------------------


def test_a_scenario_that_a_method_brings_is_for_it_and_the_references(registry: Registry) -> None:
    content = {"run": ["vanilla", "at", "kd", "rona"], "scenarios": ["few20"]}
    found = resolved(registry, content)
    needed = "split80"
    assert list(found.scenarios) == ["few20", needed]
    assert {c.name: c.scenarios for c in found.chosen} == {
        "vanilla": ("few20", needed), "at": ("few20",), "kd": ("few20", needed), "rona": (needed,),
    }  # fmt: skip
    assert found.own_scenarios == ("few20", needed)  # it is no departure from the benchmark


def test_the_benchmarks_own_scenario_of_the_kind_will_do(registry: Registry) -> None:
    content = {"run": ["rona"], "scenario": {"mine": {"kind": "split", "public": 0.3}}}
    assert list(resolved(registry, content).scenarios) == ["clean", "mine"]


def test_a_method_without_its_scenario_is_warned_of(registry: Registry) -> None:
    found = resolved(registry, methods=("rona", "kd"), scenarios=("clean",))
    assert {c.name: c.scenarios for c in found.chosen} == {"rona": (), "kd": ("clean",)}
    assert found.warnings == ("method 'rona' is left out: it needs a scenario like 'split80' (--scenarios)",)


def test_an_ablation_runs_where_the_ablated_method_runs(registry: Registry) -> None:
    beside = (MethodChoice("at", part="at"), MethodChoice("vanilla", part="vanilla"))
    found = resolved(registry, choices=(MethodChoice("rona", part="rona"), *beside))
    assert found.ablated == "rona"
    assert {c.scenarios for c in found.chosen} == {("split80",)}
    apart = resolved(
        registry, choices=(MethodChoice("kd", part="kd"), MethodChoice("rona", part="rona")), scenarios=("clean",)
    )
    assert [w for w in apart.warnings if "in common" in w] == [
        "method 'rona' is left out: it has no scenario in common with 'kd'"
    ]


def test_a_setup_says_its_variant() -> None:
    own = {"a": Value(1.0, "default"), "b": Value([1], "default")}
    assert Setup(own, own).variant == ""
    other = Setup({**own, "a": Value(2.5, "--set m.a")}, own, {"ce": ""})
    assert (other.variant, other.values, other.is_commanded) == ("a=2.5,without=ce", {"a": 2.5, "b": [1]}, True)


def test_an_empty_list_of_metrics_is_the_benchmarks(registry: Registry) -> None:
    with pytest.raises(UserError, match=r"^no metric is left: metrics of benchmark 'small' names none$"):
        resolved(registry, {"metrics": []})
