"""--recipe: a benchmark under a published recipe, which is a deviation unless it is its own."""

from __future__ import annotations

import pytest

from kdharness.errors import UserError
from kdharness.planning.asked import ask
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load, parse
from kdharness.protocol.recipe_files import recipe_file

OWN = parse(
    {
        "name": "mine",
        "datasets": ["digits"],
        "pairs": ["conv32:shuffle_v1"],
        "recipe": {"epochs": 3, "lr": 0.5},
        "recipes": {"smooth": {"label_smoothing": 0.1}},
        "teacher": {"epochs": 9},
        "models": {"vit_micro_p2": {"lr": 0.3, "drop_path": 0.1}},
    },
    "mine.toml",
)


def test_it_stands_in_place_of_what_the_benchmark_says() -> None:
    asked = ask(OWN, Selection(recipe="crd240"))
    assert asked.recipes.deviations == ("recipe=crd240",)
    assert asked.recipes.of_teacher("conv32") == recipe_file("crd240").of("conv32")
    assert asked.recipes.of_student("shuffle_v1", "standard") == recipe_file("crd240").of("shuffle_v1")
    assert asked.recipes.of_student("vit_micro_p2", "standard").lr == 0.05
    assert asked.models["vit_micro_p2"] == {"drop_path": 0.1}
    assert asked.recipes.of_student("shuffle_v1", "smooth").label_smoothing == 0.1


def test_settings_and_epochs_go_on_top_of_it() -> None:
    asked = ask(OWN, Selection(recipe="crd240", epochs=2, settings=("recipe.lr=0.2",)))
    recipe = asked.recipes.of_student("conv16", "standard")
    assert (recipe.epochs, recipe.lr, recipe.batch_size) == (2, 0.2, 64)
    assert asked.recipes.deviations == ("recipe=crd240", "recipe.epochs=2", "recipe.lr=0.2")


def test_a_teacher_keeps_a_recipe_of_its_own() -> None:
    asked = ask(OWN, Selection(recipe="tiny_vit300"))
    assert asked.recipes.of_teacher("conv32").optimizer == "sgd"
    assert asked.recipes.of_student("shuffle_v1", "standard").optimizer == "adamw"


def test_its_own_is_no_deviation() -> None:
    assert ask(load("cifar100"), Selection(recipe="crd240")).recipes.deviations == ()
    assert ask(load("cifar100"), Selection(recipe="mlkd480")).recipes.deviations == ("recipe=mlkd480",)


def test_an_unknown_name_is_one_line() -> None:
    with pytest.raises(UserError, match=r"unknown recipe 'mlkd' \(--recipe\); did you mean 'mlkd480'"):
        ask(OWN, Selection(recipe="mlkd"))
