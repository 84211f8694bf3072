"""The recipes of a benchmark's networks, with what the command line changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from kdharness.errors import UnknownName, UserError
from kdharness.protocol.benchmark import Benchmark
from kdharness.protocol.faults import explain
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import setting
from kdharness.text import words


@dataclass(frozen=True)
class Recipes:
    """A recipe, and the fields that differ for teachers and, by name, for models.

    deviations: changes, as text.
    place: the benchmark, as errors call it.
    optimizer_place: where the recipe's optimiser comes from.
    """

    base: Recipe
    teacher: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    place: str = ""
    optimizer_place: str = ""

    def of_model(self, model: str, teaches: bool) -> Recipe:
        """The recipe for a network, as a teacher or as a student."""
        recipe = self.base.replaced(self.teacher) if teaches else self.base
        return recipe.replaced(self.models.get(model, {}))

    def optimizers(self) -> Iterator[tuple[str, str]]:
        """Every optimiser that is named, and the place that names it."""
        yield self.base.optimizer, self.optimizer_place
        for table in (self.teacher, *self.models.values()):
            if "optimizer" in table:
                yield table["optimizer"], self.place


def resolve_recipes(benchmark: Benchmark, changes: Mapping[str, str], epochs: int | None) -> Recipes:
    """changes: of --set recipe.…; epochs: of --epochs. UserError for what is no field or no value of one."""
    given: dict[str, Any] = {key: _listed(key, value) for key, value in changes.items()}
    places = [f"{setting('recipe', key)}={value}" for key, value in changes.items()]
    if epochs is not None:
        given["epochs"] = epochs
        places.append(f"--epochs {epochs}")
    for key in given:
        if key not in Recipe.model_fields:
            raise UnknownName("recipe field", key, Recipe.model_fields, setting("recipe", key))
    try:
        base = benchmark.recipe.replaced(given)
    except ValidationError as error:
        raise UserError(explain(error, Recipe, ", ".join(places), ("recipe",))) from None
    changed = {key for key in given if getattr(base, key) != getattr(benchmark.recipe, key)}
    # A changed field holds for teachers and for all models: it would not be what was asked for otherwise.
    teacher = {k: v for k, v in benchmark.teacher.items() if k not in given}
    tables = {m: {k: v for k, v in t.items() if k in Recipe.model_fields} for m, t in benchmark.models.items()}
    models = {m: {k: v for k, v in table.items() if k not in given} for m, table in tables.items()}
    overridden = {k for k in given if k in benchmark.teacher or any(k in t for t in benchmark.models.values())}
    deviations = (f"recipe.{key}={_text(getattr(base, key))}" for key in sorted(changed | overridden))
    of_optimizer = setting("recipe", "optimizer") if "optimizer" in changes else benchmark.place
    return Recipes(base, teacher, models, tuple(deviations), benchmark.place, of_optimizer)


def _listed(key: str, value: str) -> str | list[str]:
    return list(words(value.strip("[] "))) if key == "milestones" else value


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
