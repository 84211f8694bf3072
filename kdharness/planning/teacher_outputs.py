"""Where what teachers say comes from: the teachers as they run, or tables of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kdharness.api.specs import ViewSpec
from kdharness.errors import UnknownName, UserError
from kdharness.planning.catalogue import Catalogue
from kdharness.planning.recipes import Recipes
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.scenario import Scenario

AUTO, ONLINE, TABLE = "auto", "online", "table"
CHOICES: Final = (AUTO, ONLINE, TABLE)


def as_settings(choice: str | None, recipe: Recipe) -> tuple[str, ...]:
    """What --teacher-outputs says of the benchmark's recipe, as --set says it. UserError for a word that it has not."""
    if choice is None:
        return ()
    if choice not in CHOICES:
        raise UnknownName("value", choice, CHOICES, "--teacher-outputs")
    wanted = TABLE if choice == TABLE else AUTO
    return () if recipe.teacher_outputs == wanted else (f"recipe.teacher_outputs={wanted}",)


def check_tables(
    recipes: Recipes, models: Iterable[str], views: Catalogue[ViewSpec], scenarios: Mapping[str, Scenario]
) -> None:
    """UserError for a recipe that asks for tables where there can be none."""
    every = (recipes.of_student(model, name) for model in dict.fromkeys(models) for name in recipes.students)
    asking = [recipe for recipe in every if recipe.teacher_outputs == TABLE]
    where = "recipe.teacher_outputs = 'table'"
    for recipe in asking:
        if views.get(recipe.augmentation).spec.finite is None:
            what = f"view '{recipe.augmentation}' does not say that it has finitely many pictures of an image"
            raise UserError(f"{where}: {what}, so that no table can hold them")
    for name, scenario in scenarios.items():
        if asking and scenario.kind == "split":
            raise UserError(f"{where}: scenario '{name}' keeps images private, and tables of their teachers would not")
