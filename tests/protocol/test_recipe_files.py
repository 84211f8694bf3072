"""Recipes that come with kdharness: each is valid, says its source, and is what a benchmark takes by its name."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from kdharness_plugins.models import kdharness_models
from kdharness_plugins.optimizers import kdharness_optimizers
from kdharness_plugins.views import kdharness_views

from kdharness.errors import UserError
from kdharness.protocol.benchmark import load, parse
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.recipe_files import recipe_file, recipe_names

FOLDER = Path(__file__).parents[2] / "benchmarks"
BASE = {"name": "mine", "datasets": ["digits"], "pairs": ["conv32:conv16"]}


def test_these_ship() -> None:
    assert set(recipe_names()) == {
        "crd240", "dkd", "mlkd480", "tiny_vit300", "ofa_cifar300", "ofa_cifar300_vit", "imagenet100", "deit300",
        "a2_300",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(recipe_names()))
def test_each_names_what_is_installed_and_where_it_is_from(name: str) -> None:
    file = recipe_file(name)
    assert re.search(r"[\w-]+/[\w-]+: \S", file.source)
    assert file.summary
    views = {spec.name for spec in kdharness_views()}
    optimizers = {spec.name for spec in kdharness_optimizers()}
    models = {spec.name for spec in kdharness_models()}
    assert set(file.models) <= models
    for is_teacher in (False, True):
        recipe = file.of("", is_teacher)
        assert recipe.optimizer in optimizers
        assert recipe.augmentation in views
        assert not recipe.contradiction
    assert f"`{name}`" in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "epochs", "rates"),
    [
        ("crd240", 240, {0: 0.05, 149: 0.05, 150: 0.005, 180: 5e-4, 210: 5e-5}),
        ("dkd", 240, {149: 0.05, 150: 0.005, 239: 5e-5}),
        # As the authors' logs have it: the rate falls at the epochs of 240.
        ("mlkd480", 480, {149: 0.025, 150: 0.0025, 180: 2.5e-4, 210: 2.5e-5, 479: 2.5e-5}),
        ("imagenet100", 100, {29: 0.2, 30: 0.02, 60: 0.002, 90: 2e-4}),
    ],
)
def test_rates_fall_where_the_source_lets_them(name: str, epochs: int, rates: dict[int, float]) -> None:
    recipe = recipe_file(name).of("")
    assert recipe.epochs == epochs
    assert {epoch: recipe.lr_at(epoch, epochs) for epoch in rates} == pytest.approx(rates)


def test_small_networks_have_their_own_rate() -> None:
    assert recipe_file("crd240").of("shuffle_v1").lr == recipe_file("mlkd480").of("mobilenet_v2").lr == 0.01
    assert recipe_file("crd240").of("vgg8").lr == 0.05


@pytest.mark.parametrize("text", ['recipe = "crd240"', '[recipe]\nfrom = "crd240"'])
def test_a_benchmark_takes_one_by_its_name(text: str) -> None:
    benchmark = parse({**BASE, **tomllib.loads(text)}, "mine.toml")
    assert benchmark.recipe == recipe_file("crd240").of("")
    assert benchmark.models == {name: {"lr": 0.01} for name in ("mobilenet_v2", "shuffle_v1", "shuffle_v2")}


def test_what_a_benchmark_says_itself_goes_first() -> None:
    text = (
        '[recipe]\nfrom = "crd240"\nepochs = 10\n[models.shuffle_v1]\nlr = 0.2\nepochs = 5\n[models.conv16]\nlr = 1.0'
    )
    benchmark = parse({**BASE, **tomllib.loads(text)}, "mine.toml")
    assert (benchmark.recipe.epochs, benchmark.recipe.weight_decay) == (10, 5e-4)
    assert benchmark.models["shuffle_v1"] == {"lr": 0.2, "epochs": 5}
    assert benchmark.models["conv16"] == {"lr": 1.0}
    assert benchmark.models["shuffle_v2"] == {"lr": 0.01}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("crd24", "unknown recipe 'crd24' (mine.toml: recipe); did you mean 'crd240'"),
        ({"from": ["crd240"]}, "unknown recipe '['crd240']' (mine.toml: recipe)"),
        ({"from": "crd240", "epoch": 3}, "mine.toml: unknown key 'recipe.epoch'; did you mean 'epochs'"),
        (3, "mine.toml: recipe"),
    ],
)
def test_a_mistake_is_one_line(recipe: object, message: str) -> None:
    with pytest.raises(UserError) as error:
        parse({**BASE, "recipe": recipe}, "mine.toml")
    assert message in str(error.value)


def test_a_table_of_another_form_is_still_refused() -> None:
    with pytest.raises(UserError, match=r"mine.toml: models"):
        parse({**BASE, "recipe": "crd240", "models": [1]}, "mine.toml")


def test_cifar100_is_that_recipe() -> None:
    assert load("cifar100").recipe == Recipe.model_validate(recipe_file("crd240").recipe)
