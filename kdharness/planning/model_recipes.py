"""Tables of models: recipe fields, which --set may give too, and what else they hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from kdharness.errors import UserError
from kdharness.planning.recipes import Recipes
from kdharness.planning.selection import Settings
from kdharness.protocol.faults import explain
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import setting, shown


def recipe_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe fields of a model's table."""
    return {key: value for key, value in table.items() if key in Recipe.model_fields}


def network_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """What else a model's table says."""
    return {key: value for key, value in table.items() if key not in Recipe.model_fields}


def with_settings(recipes: Recipes, settings: Settings, models: Collection[str]) -> Recipes:
    """The recipes with what --set says of the models' own. UserError for wrong values."""
    tables, deviations = {}, list(recipes.deviations)
    for model, given in of_models(settings, models):
        changes = recipe_part(given)
        try:
            made = recipes.base.replaced(changes)
        except ValidationError as error:
            places = ", ".join(f"{setting(model, key)}={value}" for key, value in changes.items())
            raise UserError(explain(error, Recipe, places, (model,))) from None
        before = [recipes.of_teacher(model), *(recipes.of_student(model, name) for name in recipes.students)]
        changed = [k for k in changes if any(getattr(made, k) != getattr(recipe, k) for recipe in before)]
        deviations += [f"{model}.{key}={shown(getattr(made, key))}" for key in sorted(changed)]
        tables[model] = {key: getattr(made, key) for key in changed}
    return replace(recipes, commanded=tables, deviations=tuple(deviations))


def of_models(settings: Settings, models: Collection[str]) -> Iterable[tuple[str, Mapping[str, str]]]:
    """What --set says of these models."""
    return ((owner, given) for owner, given in settings.items() if owner in models)
