"""A benchmark under another recipe than its own: one of those that come with kdharness, by name."""

from __future__ import annotations

from kdharness.errors import UnknownName
from kdharness.planning.model_recipes import network_part
from kdharness.protocol.benchmark import Benchmark
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.recipe_files import recipe_file, recipe_names


def under_recipe(benchmark: Benchmark, name: str) -> Benchmark:
    """The benchmark with the recipe of a file in place of all that it says of recipes, but for its axis.

    UserError for a name that there is not.
    """
    if name not in recipe_names():
        raise UnknownName("recipe", name, recipe_names(), "--recipe")
    file = recipe_file(name)
    own = {model: network_part(table) for model, table in benchmark.models.items()}
    models = {model: {**file.models.get(model, {}), **own.get(model, {})} for model in (*file.models, *own)}
    changes = {
        "recipe": Recipe.model_validate(file.recipe),
        "teacher": file.teacher,
        "models": models,
        "optimizers": {**benchmark.optimizers, **file.optimizers},
    }
    return benchmark.model_copy(update=changes)


def recipe_deviation(benchmark: Benchmark, name: str) -> tuple[str, ...]:
    """What a run under that recipe says of itself: nothing where it is the benchmark's own."""
    other = under_recipe(benchmark, name)
    same = all(getattr(other, table) == getattr(benchmark, table) for table in ("recipe", "teacher", "models"))
    return () if same and other.optimizers == benchmark.optimizers else (f"recipe={name}",)
