"""Fields of recipes that have no meaning beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kdharness.errors import UserError
from kdharness.planning.recipes import Recipes
from kdharness.protocol.recipe import Recipe


def check_recipes(recipes: Recipes, models: Iterable[str]) -> tuple[str, ...]:
    """Warnings, one line each. UserError for a recipe that contradicts itself.

    A warm-up that outlasts a run which the command line made short is worth a warning: such a run is a trial.
    """
    is_trial = any(text.startswith("recipe.epochs=") for text in recipes.deviations)
    warnings: dict[str, None] = {}
    for whose, recipe in _whole(recipes, models):
        if recipe.contradiction:
            line = f"{whose}: {recipe.contradiction}"
            is_warmup = recipe.contradiction.startswith("warmup_epochs")
            if not (is_warmup and is_trial) or "warmup_epochs" in recipes.base_commanded:
                raise UserError(line)
            warnings[line] = None
    return tuple(warnings)


def _whole(recipes: Recipes, models: Iterable[str]) -> Iterator[tuple[str, Recipe]]:
    """Every recipe that a network is trained by, and what it is called. The one that all have comes first."""
    yield "recipe", recipes.base
    for model in dict.fromkeys(models):
        yield f"recipe of teacher '{model}'", recipes.of_teacher(model)
        for name in recipes.students:
            yield f"recipe '{name}' of student '{model}'", recipes.of_student(model, name)
