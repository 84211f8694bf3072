"""Every benchmark that ships can be planned without its data, and benchmarks/README.md tells the whole format."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from kdharness_plugins.datasets.torchvision_datasets import SOURCES

from kdharness.api.data import DataRequest, DatasetInfo
from kdharness.planning import make_plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, EvaluationRule, available, load, parse
from kdharness.protocol.claim import Claim
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.variant import Variant
from kdharness.registry.manager import Registry

FOLDER = Path(__file__).parents[2] / "benchmarks"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SIZES = {source.name: source for source in SOURCES}
SIZES["cifar100_npz"] = SIZES["cifar100"]
# Of those that torchvision's classes do not read: classes, shape, training images.
SIZES["tiny_imagenet"] = replace(SIZES["cifar100"], num_classes=200, input_shape=(3, 64, 64), train_size=100_000)
SIZES["imagenet"] = replace(SIZES["cifar100"], num_classes=1000, input_shape=(3, 224, 224), train_size=1_281_167)


@pytest.fixture
def anywhere(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry, with data that is never asked for."""
    known = registry.known

    def described(kind: str) -> Mapping[str, Any]:
        return {name: undemanding(found) if kind == "dataset" else found for name, found in known(kind).items()}

    def undemanding(found: Any) -> Any:
        if found.spec.name not in SIZES:
            return found
        source = SIZES[found.spec.name]

        def describe(request: DataRequest) -> DatasetInfo:
            classes = len(request.parameters.get("classes", ())) or source.num_classes
            return DatasetInfo(
                "made up", classes, source.input_shape, source.train_size * classes // source.num_classes
            )

        return replace(found, spec=replace(found.spec, describe=describe))

    monkeypatch.setattr(registry, "known", described)
    return registry


@pytest.mark.parametrize("name", sorted(available()))
def test_every_benchmark_can_be_planned(anywhere: Registry, name: str) -> None:
    benchmark = load(name)
    assert benchmark.name == name
    assert benchmark.summary
    # All methods on small networks; where all would run on large ones, the references stand for them.
    few = benchmark.references if "all" in benchmark.run and "digits" not in benchmark.datasets else None
    plan = make_plan(benchmark, Selection(seeds=(0,), methods=few), anywhere)
    students = [p for p in plan.cells if p.cell.role == "student"]
    assert {str(p) for p in benchmark.pairs} <= {f"{p.cell.teacher}:{p.cell.student}" for p in students}
    names = {f"{p.cell.method}[{p.cell.variant}]" if p.cell.variant else p.cell.method for p in students if not p.skip}
    for claim in plan.claims:
        assert {claim.better, claim.than} <= names, f"'{claim.text}' is about what does not run"
    asked = {method for method in benchmark.run if method != "all"}
    assert asked <= {p.cell.method for p in students if not p.skip}


def test_cifar100_is_the_recipe_that_papers_share() -> None:
    benchmark = load("cifar100")
    recipe = benchmark.recipe
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.weight_decay) == (240, 64, 0.9, 5e-4)
    assert (recipe.optimizer, recipe.nesterov, recipe.warmup_epochs, recipe.precision) == ("sgd", False, 0, "fp32")
    rates = [recipe.lr_at(epoch, 240) for epoch in (0, 149, 150, 179, 180, 209, 210, 239)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005, 0.0005, 0.0005, 0.00005, 0.00005])
    assert not benchmark.teacher
    assert benchmark.models == {name: {"lr": 0.01} for name in ("mobilenet_v2", "shuffle_v1", "shuffle_v2")}
    assert len(benchmark.pairs) == 13
    assert benchmark.evaluation.validation == 0


# -- the README -------------------------------------------------------------------------------------------------------


def rows(heading: str, first: str) -> dict[str, str]:
    """Of the table under a heading whose first column has this title: by code name in that column, the row."""
    text = README.split(f"\n{heading}\n")[1].split("\n#")[0]
    table = text.split(f"| {first} |")[1].split("\n\n")[0]
    found = {}
    for line in table.splitlines():
        cells = line.strip("| ").split(" | ")
        for name in re.findall(r"`([^`]+)`", cells[0]):
            found[name] = line
    return found


@pytest.mark.parametrize(
    ("heading", "fields"),
    [
        ("## Fields", Benchmark.model_fields),
        ("### `[recipe]`", Recipe.model_fields),
        ("### `[evaluation]`", EvaluationRule.model_fields),
        ("### `[[variants]]`", Variant.model_fields),
        ("### `[[claims]]`", Claim.model_fields),
    ],
)
def test_every_field_is_described(heading: str, fields: Mapping[str, Any]) -> None:
    assert set(rows(heading, "field")) == set(fields)


def test_defaults_in_the_readme_are_the_defaults() -> None:
    for name, line in rows("### `[recipe]`", "field").items():
        said = line.strip("| ").split(" | ")[-1].strip("`")
        default = Recipe.model_fields[name].default
        if said not in ("required", "those"):
            assert (str(default).lower() == said) or float(said) == default, name


def test_every_kind_of_scenario_is_described() -> None:
    table = rows("### `[scenario.NAME]`", "kind")
    kinds = {model.model_fields["kind"].annotation: model for model in get_args(Scenario)}
    by_name = {get_args(literal)[0]: model for literal, model in kinds.items()}
    assert set(table) == set(by_name)
    for kind, model in by_name.items():
        for field in set(model.model_fields) - {"kind"}:
            assert f"`{field}`" in table[kind], f"{kind}: {field}"


def test_every_benchmark_is_listed() -> None:
    listed = dict(re.findall(r"\[`([a-z0-9-]+)`\]\(([a-z0-9_]+\.toml)\)", README))
    assert listed == {name: path.name for name, path in available().items()}


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_can_be_planned(registry: Registry, block: str) -> None:
    content = {"name": "example", **tomllib.loads(block)}
    assert make_plan(parse(content, "README.md"), Selection(), registry).cells


def test_links_point_somewhere() -> None:
    headings = [line.lstrip("# ") for line in README.splitlines() if line.startswith("#")]
    slugs = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target[1:] in slugs if target.startswith("#") else (FOLDER / target).exists(), target
