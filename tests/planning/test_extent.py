"""Plans that numbers from outside would make too large: one line, or a cell that is skipped with the limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.planning import extent, make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.manager import Registry

CONTENT: dict[str, Any] = {
    "name": "extent",
    "datasets": ["digits"],
    "pairs": ["conv16:conv8"],
    "seeds": [0],
    "recipe": {"epochs": 2},
}

PLUGIN = """
from kdharness.api import Method, MethodSpec, Requirement, hookimpl

class Chain(Method):
    name = "chain"
    left: int = 3
    def requires(self, pair):
        if self.left == 1:
            return super().requires(pair)
        return [own(self.name, pair.student, self.left - 1)]

class Tree(Chain):
    name = "tree"
    def requires(self, pair):
        if self.left == 1:
            return super().requires(pair)
        return [own(self.name, pair.student, self.left - 1)] * 2

class Endless(Method):
    name = "endless"
    def requires(self, pair):
        while True:
            yield Requirement(pair.student)

def own(method, model, left):
    return Requirement(model, method=method, parameters={"left": left}, subset="train", same_seed=True, role="student")

class Hasty(Chain):
    name = "hasty"
    left: int = 200

@hookimpl
def kdharness_methods():
    yield from map(MethodSpec.of, (Chain, Tree, Endless, Hasty))
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    file: Path = tmp_path_factory.mktemp("plugin") / "chains.py"
    file.write_text(PLUGIN)
    return Registry.load([file])


def plan_of(registry: Registry, *methods: str, settings: tuple[str, ...] = (), seeds: tuple[int, ...] = (0,)) -> Plan:
    return make_plan(parse(CONTENT, "extent.toml"), Selection(methods, settings=settings, seeds=seeds), registry)


def test_a_chain_may_be_as_long_as_the_limit_says(registry: Registry) -> None:
    """A hundred generations: the teacher, 99 cells before the last, and the last."""
    plan = plan_of(registry, "ban", settings=("ban.generations=100",))
    assert len(plan.cells) == 101
    assert not any(planned.skip for planned in plan.cells)


@pytest.mark.parametrize("generations", ["101", "100000", "1" + "0" * 30])
def test_more_generations_are_a_line(registry: Registry, generations: str) -> None:
    with pytest.raises(UserError, match=r"generations.*(less than or equal to 100|63 bits)"):
        plan_of(registry, "ban", settings=(f"ban.generations={generations}",))


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("hasty", "method 'hasty' requires too much: the chain of cells that it requires has more than 100"),
        ("endless", "method 'endless' failed in requires(): ValueError: it gives more than 1000 Requirements"),
    ],
)
def test_what_requires_too_much_is_skipped_and_leaves_nothing_behind(
    registry: Registry, method: str, says: str
) -> None:
    plan = plan_of(registry, method, "kd")
    assert {p.cell.method: p.skip for p in plan.cells} == {method: says, "kd": "", "vanilla": ""}
    assert len(plan.cells) == 3


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("chain.left=102", "method 'chain' requires too much: the chain of cells that it requires has more than 100"),
        ("chain.left=100000", "has more than 100"),
        ("tree.left=40", "method 'tree' requires too much: it requires more than 1000 cells"),
    ],
)
def test_what_was_asked_for_on_the_command_line_is_refused(registry: Registry, setting: str, says: str) -> None:
    with pytest.raises(UserError, match=says.replace("(", r"\(")):
        plan_of(registry, setting.partition(".")[0], settings=(setting,))


def test_a_plan_has_a_limit_of_cells(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extent, "MOST_CELLS", 20)
    assert len(plan_of(registry, "kd", seeds=tuple(range(19))).cells) == 20
    with pytest.raises(UserError, match="the plan has more than 20 cells: choose fewer seeds"):
        plan_of(registry, "kd", seeds=tuple(range(20)))


@pytest.mark.parametrize(
    "setting",
    [
        "ban.generations=100000",
        "dml.peers=1000000",
        "cc.dimension=1000000000000",
        "at.power=1000000000",
        "meal.pooled_sizes=1000000000",
        "meal.teachers_used=-1",
        "rona.iterations=1000000000",
        "rona.distill_batch_size=1000000000000",
        "dkd.warmup_epochs=99999999999999999999999",
        "vit_tiny_p4.depth=1000000000",
        "vit_tiny_p4.width=1000000000",
    ],
)
def test_a_number_that_no_machine_holds_is_one_line_when_planned(
    setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    method = setting.partition(".")[0]
    methods = "kd" if method.startswith("vit") else method
    assert execute(["run", "--methods", methods, "--dry-run", "--set", setting, "--out", "/nowhere"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert setting.partition("=")[0].partition(".")[2] in line


@pytest.mark.parametrize(
    ("method", "setting", "says"),
    [
        ("meal", "teachers_used=7", "teachers_used is 7, and the pair has 1"),
        ("meal", "stage_weights=", "stage_weights is empty"),
        ("meal", "adversarial_weights=1", "adversarial_weights has 1 numbers"),
        ("fitnet", "hint_stage=99", "hint_stage is 99, but 'conv8' has stages 0 to 2"),
        ("fitnet", "hint_stage=-1", "hint_stage is -1"),
    ],
)
def test_what_the_models_have_not_is_a_reason_in_the_plan(
    registry: Registry, method: str, setting: str, says: str
) -> None:
    plan = plan_of(registry, method, settings=(f"{method}.{setting}",))
    (reason,) = (p.skip for p in plan.cells if p.cell.method == method)
    assert says in reason
