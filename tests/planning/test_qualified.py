"""A plan calls each thing by one name, whether its package was named or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, load, parse
from kdharness.registry.manager import Registry

RIVAL = '''
import torch.nn.functional as F
from torch import nn
from kdharness.api import Method, MethodSpec, ModelSpec, Reads, Requirement, hookimpl

class Rival(Method):
    """Another method of a built-in's name."""
    name = "kd"
    reads = Reads(teachers="one")
    weight: float = 0.5

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

class Chained(Rival):
    """Requires what shares its name with others, by package."""
    name = "chained"

    def requires(self, pair):
        return [Requirement("rival/conv8", method="rival/kd", teachers=(Requirement("conv16"),))]

def tiny(num_classes, input_shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0] * input_shape[1] * input_shape[2], num_classes))

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Rival), MethodSpec.of(Chained)]

@hookimpl
def kdharness_models():
    return [ModelSpec("conv8", tiny)]
'''


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    path = tmp_path_factory.mktemp("plugins") / "rival.py"
    path.write_text(RIVAL)
    return Registry.load([path])


def plan_of(registry: Registry, benchmark: Benchmark | None = None, **asked: object) -> Plan:
    given = {"seeds": (0,), "scenarios": ("few100",), **asked}
    return make_plan(benchmark or load("digits"), Selection(**given), registry)  # type: ignore[arg-type]


def test_a_name_and_its_package_are_one_where_nobody_else_claims_it(registry: Registry) -> None:
    short = plan_of(
        registry, methods=("vanilla", "kd", "at"), skip=("at",), pairs=("conv32:conv16",), datasets=("digits",),
        settings=("kd.weight=0.5",),
    )  # fmt: skip
    long = plan_of(
        registry,
        methods=("kdharness/vanilla", "kdharness/kd", "kd", "at"),
        skip=("kdharness/at",),
        pairs=("kdharness/conv32:kdharness/conv16", "conv32:conv16"),
        datasets=("kdharness/digits",),
        settings=("kdharness/kd.weight=0.5",),
    )
    assert long.cells == short.cells
    assert long.warnings == short.warnings == ()


def identities(plan: Plan) -> list[tuple[str, str, set[str]]]:
    return [(p.cell.key, p.cell.protocol, set(p.cell.deviations.split("; "))) for p in plan.cells]


def test_models_may_be_set_by_either_name(registry: Registry) -> None:
    asked = {"methods": ("vanilla",), "pairs": ("conv32:conv16",)}
    short = plan_of(registry, settings=("conv16.lr=0.01", "conv16.momentum=0.5"), **asked)
    assert {p.cell.recipe["lr"] for p in short.cells} == {0.01}
    for settings in (
        ("kdharness/conv16.lr=0.01", "conv16.momentum=0.5"),
        ("conv16.lr=0.01", "kdharness/conv16.momentum=0.5"),
    ):
        assert identities(plan_of(registry, settings=settings, **asked)) == identities(short)
    mixed = {**asked, "pairs": ("kdharness/conv32:kdharness/conv16",)}
    again = plan_of(registry, settings=("conv16.lr=0.01", "kdharness/conv16.momentum=0.5"), **mixed)
    assert identities(again) == identities(short)


def test_benchmarks_may_name_packages_too(registry: Registry) -> None:
    def benchmark(package: str) -> Benchmark:
        claim = {"text": "t", "better": f"{package}kd", "than": f"{package}vanilla", "dataset": f"{package}digits"}
        content = {
            "name": "b",
            "datasets": [f"{package}digits"],
            "pairs": [f"{package}conv16:{package}conv8"],
            "run": [f"{package}vanilla", f"{package}kd"],
            "references": [f"{package}vanilla"],
            "metrics": [f"{package}top1"],
            "recipe": {"epochs": 3},
            "models": {f"{package}conv8": {"lr": 0.1}},
            "methods": {f"{package}kd": {"weight": 0.5, "pairs": {f"{package}conv16:{package}conv8": {"weight": 0.4}}}},
            "variants": [{"method": f"{package}kd", "parameters": {"weight": 0.1}}],
            "claims": [claim],
        }
        return parse(content, "b.toml")

    short, long = (plan_of(registry, benchmark(package), scenarios=("clean",)) for package in ("", "kdharness/"))
    assert replace(long, created_at=short.created_at) == short
    assert [p.cell.parameters["weight"] for p in long.cells if p.cell.method == "kd"] == [0.4, 0.1]


def test_both_of_one_name_run_beside_each_other(rivals: Registry) -> None:
    plan = plan_of(
        rivals,
        methods=("kdharness/kd", "rival/kd"),
        pairs=("conv16:kdharness/conv8", "conv16:rival/conv8"),
        settings=("rival/kd.weight=0.25",),
    )
    students = [p.cell for p in plan.cells if p.cell.role == "student"]
    assert [(cell.method, cell.student) for cell in students] == [
        (method, model) for model in ("kdharness/conv8", "rival/conv8") for method in ("kdharness/kd", "rival/kd")
    ]
    assert len({cell.key for cell in students}) == 4
    assert {cell.variant for cell in students if cell.method == "rival/kd"} == {"weight=0.25"}
    assert {cell.variant for cell in students if cell.method == "kdharness/kd"} == {""}


def test_the_name_alone_is_nobodys_and_all_leaves_it_out(rivals: Registry) -> None:
    with pytest.raises(UserError, match=r"method 'kd' \(--methods\) is claimed twice.*say kdharness/kd or rival/kd"):
        plan_of(rivals, methods=("kd",))
    plan = plan_of(rivals, pairs=("conv32:conv16",), skip=("chained",))
    assert not {p.cell.method for p in plan.cells} & {"kd", "kdharness/kd", "rival/kd"}
    assert "method 'kd' is claimed by two plugins and left out; see kdharness list plugins" in plan.warnings


def test_a_method_may_require_by_package(rivals: Registry) -> None:
    plan = plan_of(rivals, methods=("chained",), pairs=("conv32:conv16",))
    (required,) = [p.cell for p in plan.cells if p.cell.student == "rival/conv8"]
    (chained,) = [p.cell for p in plan.cells if p.cell.method == "chained"]
    assert required.method == "rival/kd"
    assert chained.requires == (required.key,)
    assert chained.document["teachers"][0]["name"] == "rival/conv8"


def test_they_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "rival.py"
    plugin.write_text(RIVAL)
    names = ["--methods", "rival/kd,kdharness/kd,kdharness/vanilla", "--pairs", "conv16:rival/conv8"]
    rest = ["--seeds", "0", "--epochs", "1", "--scenarios", "few100", "--executor", "inline", "--device", "cpu"]
    assert execute(["run", *names, *rest, "--plugin", str(plugin), "--out", str(tmp_path / "out")]) == 0
    assert "rival/kd" in capsys.readouterr().out
    ablated = ["ablate", "rival/kd", "--methods", "vanilla", "--pairs", "conv16:rival/conv8", "--dry-run"]
    assert execute([*ablated, *rest, "--plugin", str(plugin), "--out", str(tmp_path / "out")]) == 0
