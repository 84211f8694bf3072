"""The published track: whose parameters, in which order, what is one cell in both, and what a plugin says wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

BASE: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4", "conv16:conv4"],
    "seeds": [0],
    "run": ["vanilla", "kd", "tuned", "wrong", "fixed"],
    "recipe": {"epochs": 2},
}
PLUGIN = """
from kdharness.api import Method, MethodSpec, hookimpl


class Tuned(Method):
    name = "tuned"
    terms = {"ce": "task", "kd": "distill"}
    beta: float = 1.0
    gamma: float = 2.0
    published = {"*": {"gamma": 3.0}, "conv16:conv4": {"beta": 8.0}}


class Wrong(Method):
    name = "wrong"
    terms = {"ce": "task", "kd": "distill"}
    published = {"conv8:conv4": {"bta": 1.0}}


class Fixed(Method):
    name = "fixed"
    terms = {"ce": "task", "kd": "distill"}
    weight: float = 1.0
    published = {"conv8:conv4": {"weight": 1}}


class Misspelt(Method):
    name = "misspelt"
    terms = {"ce": "task", "kd": "distill"}
    weight: float = 1.0
    published = {"conv16+conv8:cnv4": {"weight": 2.0}, "conv8:conv4": {"weight": 3.0}}


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(each) for each in (Tuned, Wrong, Fixed, Misspelt)]
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugins") / "tuned.py"
    path.write_text(PLUGIN)
    return Registry.load([path])


def plan_of(registry: Registry, content: dict[str, Any] | None = None, **selection: Any) -> Plan:
    return make_plan(parse({**BASE, **(content or {})}, "small.toml"), Selection(**selection), registry)


def students(plan: Plan, method: str = "") -> list[Cell]:
    cells = (planned.cell for planned in plan.cells)
    return [cell for cell in cells if cell.role == "student" and method in ("", cell.method)]


def parameters(plan: Plan, method: str = "tuned") -> list[tuple[str, str, float, float]]:
    """Tracks, variant, beta and gamma of each cell."""
    return [
        ("+".join(cell.standings), cell.variant, cell.parameters["beta"], cell.parameters["gamma"])
        for cell in students(plan, method)
    ]


def test_by_default_nothing_published_counts(registry: Registry) -> None:
    plan = plan_of(registry)
    assert parameters(plan) == [("default", "", 1.0, 2.0), ("default", "", 1.0, 2.0)]
    assert not any(planned.skip for planned in plan.cells)
    assert {"tracks": {}}.items() <= students(plan)[0].to_json().items()


@pytest.mark.parametrize(("content", "selection"), [({}, {"track": "published"}), ({"track": "published"}, {})])
def test_the_published_parameters_of_each_pair_stand_over_those_of_all(
    registry: Registry, content: dict[str, Any], selection: dict[str, Any]
) -> None:
    plan = plan_of(registry, content, **selection)
    assert parameters(plan) == [("published", "", 1.0, 3.0), ("published", "", 8.0, 3.0)]
    assert students(plan, "tuned")[0].label == "tuned conv8:conv4 digits published seed 0"
    assert {c.info.track for c in students(plan)} == {"published"}
    assert {c.deviations for c in students(plan)} == {""}


def test_both_are_cells_of_their_own_and_what_is_equal_is_one(registry: Registry) -> None:
    default, plan = plan_of(registry), plan_of(registry, track="both")
    assert parameters(plan) == [
        ("default", "", 1.0, 2.0), ("published", "", 1.0, 3.0), ("default", "", 1.0, 2.0), ("published", "", 8.0, 3.0),
    ]  # fmt: skip
    for method in ("vanilla", "kd", "fixed"):
        cells = students(plan, method)
        assert [c.key for c in cells] == [c.key for c in students(default, method)]
        assert {tuple(c.standings.items()) for c in cells} == {(("default", ""), ("published", ""))}
    teachers = [planned.cell for planned in plan.cells if planned.cell.role == "teacher"]
    assert [teacher.standings for teacher in teachers] == [{"": ""}, {"": ""}]
    assert {cell.protocol for cell in students(plan)} == {cell.protocol for cell in students(default)}
    assert Plan.from_json(json.loads(json.dumps(plan.to_json(), default=dict))) == plan


def test_the_benchmark_and_the_command_go_before_what_is_published(registry: Registry) -> None:
    content = {"methods": {"tuned": {"gamma": 5.0}}, "run": ["tuned"]}
    plan = plan_of(registry, content, track="published", settings=("tuned.beta=4",))
    assert parameters(plan) == [("published", "beta=4", 4.0, 5.0), ("published", "beta=4", 4.0, 5.0)]


def test_variants_differ_from_what_is_published(registry: Registry) -> None:
    """A variant of the default track that is what is published: one cell, called otherwise in each track."""
    variant = {"method": "tuned", "parameters": {"gamma": 3}}
    plan = plan_of(registry, {"run": ["tuned"], "variants": [variant], "pairs": ["conv8:conv4"]}, track="both")
    assert [dict(cell.standings) for cell in students(plan)] == [
        {"default": ""},
        {"default": "gamma=3", "published": ""},
    ]


def test_a_reference_has_one_setting_in_all_tracks(registry: Registry) -> None:
    plan = plan_of(registry, {"references": ["tuned"], "run": ["tuned"]}, track="published")
    assert parameters(plan) == [("published", "", 1.0, 2.0), ("published", "", 1.0, 2.0)]


def test_a_combination_has_what_is_published_for_each_part(registry: Registry) -> None:
    plan = plan_of(registry, {"run": ["tuned+fixed"]}, track="published")
    found = [(c.parameters["tuned.beta"], c.parameters["tuned.gamma"]) for c in students(plan)]
    assert found == [(1.0, 3.0), (8.0, 3.0)]


def test_a_cell_says_what_its_authors_choose_by_pair(registry: Registry) -> None:
    """Of `tuned` beta, of which one pair has the default; gamma is chosen for all pairs."""
    plan = plan_of(registry, {"run": ["tuned", "fixed"]}, track="both")
    found = {(c.method, c.teacher, "+".join(c.standings)): dict(c.by_pair) for c in students(plan)}
    assert found == {
        ("tuned", "conv8", "default"): {}, ("tuned", "conv8", "published"): {"beta": 1.0},
        ("tuned", "conv16", "default"): {}, ("tuned", "conv16", "published"): {"beta": 8.0},
        ("fixed", "conv8", "default+published"): {"weight": 1.0},
        ("fixed", "conv16", "default+published"): {"weight": 1.0},
    }  # fmt: skip
    (cell,) = students(plan_of(registry, {"run": ["tuned+fixed"], "pairs": ["conv16:conv4"]}, track="published"))
    assert cell.by_pair == {"tuned.beta": 8.0, "fixed.weight": 1.0}
    assert cell.standing_in({"default": ""}).by_pair == {}
    assert Cell.from_json(cell.to_json()) == cell


def test_what_a_plugin_says_wrongly_skips_its_own_cells_of_that_track_and_pair(registry: Registry) -> None:
    plan = plan_of(registry, track="published")
    skips = {p.cell.label: p.skip for p in plan.cells if p.skip}
    (label, reason), = skips.items()  # fmt: skip
    assert label == "wrong conv4 digits published seed 0"
    assert reason.startswith("what method 'wrong' says of published parameters is not usable: ")
    assert "'bta' (published for conv8:conv4)" in reason
    assert reason in plan.warnings


def test_there_are_three_choices(registry: Registry) -> None:
    with pytest.raises(UserError, match=r"unknown track 'publshed' \(--track\); did you mean 'published'\?"):
        plan_of(registry, track="publshed")
    with pytest.raises(UserError, match="track"):
        plan_of(registry, {"track": "publshed"})


def test_a_spread_of_teachers_has_the_track(registry: Registry) -> None:
    plan = plan_of(registry, {"run": ["tuned"]}, track="both", teacher_spread=(1,), pairs=("conv16:conv4",))
    found = [planned.cell for planned in plan.cells if planned.cell.role == "spread"]
    assert [("+".join(c.standings), c.parameters["beta"]) for c in found] == [("default", 1.0), ("published", 8.0)]


def test_the_plan_is_shown_with_its_tracks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from kdharness.cli.main import execute

    path = tmp_path / "tuned.py"
    path.write_text(PLUGIN)
    arguments = ["run", "digits", "--track", "both", "--methods", "vanilla,tuned", "--pairs", "conv32:conv16"]
    assert execute([*arguments, "--seeds", "0", "--dry-run", "--plugin", str(path), "--out", str(tmp_path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "published" in out


@pytest.mark.parametrize(
    ("published", "says"),
    [
        (["conv8:conv4"], "TypeError: it is to be a table by pair, and is a list"),
        ({"conv8:conv4": 2.0}, "TypeError: of 'conv8:conv4' it is to be a table of parameters, and is a float"),
        ({"conv16-conv4": {"beta": 2.0}}, "ValueError: 'conv16-conv4' is not of the form teacher:student"),
    ],
)
def test_what_is_no_table_by_pair_is_said_in_words(tmp_path: Path, published: object, says: str) -> None:
    path = tmp_path / "odd.py"
    path.write_text(PLUGIN.replace('{"*": {"gamma": 3.0}, "conv16:conv4": {"beta": 8.0}}', repr(published)))
    asked = Selection(methods=("tuned",), track="published")
    plan = make_plan(parse(BASE, "small.toml"), asked, Registry.load([path]))
    skips = [planned.skip for planned in plan.cells if planned.cell.method == "tuned"]
    assert len(skips) > 0
    assert all(f"published parameters is not usable: {says}" in skip for skip in skips)


@pytest.mark.parametrize("run", ["misspelt", "misspelt+kd"])
def test_a_model_that_nobody_provides_is_named_and_the_nearest_one(registry: Registry, run: str) -> None:
    line = "unknown model 'cnv4' (method 'misspelt', published for conv16+conv8:cnv4); did you mean 'conv4'"
    warnings = plan_of(registry, {"run": [run]}, track="published").warnings
    assert [warning.startswith(line) for warning in warnings] == [True]
    assert plan_of(registry, {"run": [run]}).warnings == ()
