"""The recipes of a benchmark's networks, with what the command line changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
    commanded: the fields that the command line sets.
    """

    base: Recipe
    teacher: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    place: str = ""
    commanded: tuple[str, ...] = ()

    def of_model(self, model: str, teaches: bool) -> Recipe:
        """The recipe for a network, as a teacher or as a student."""
        recipe = self.base.replaced(self.teacher) if teaches else self.base
        return recipe.replaced(self.models.get(model, {}))

    def named(self, field: str) -> Iterator[tuple[str, str]]:
        """Every value of a field that holds a name, and the place that it comes from."""
        yield getattr(self.base, field), setting("recipe", field) if field in self.commanded else self.place
        for table in (self.teacher, *self.models.values()):
            if field in table:
                yield table[field], self.place

    def renamed(self, field: str, name_of: Callable[[str], str]) -> Recipes:
        """With another name for what a field names."""

        def table_of(table: Mapping[str, Any]) -> dict[str, Any]:
            return {key: name_of(value) if key == field else value for key, value in table.items()}

        base = self.base.replaced({field: name_of(getattr(self.base, field))})
        models = {model: table_of(table) for model, table in self.models.items()}
        return replace(self, base=base, teacher=table_of(self.teacher), models=models)


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
    return Recipes(base, teacher, models, tuple(deviations), benchmark.place, tuple(changes))


def _listed(key: str, value: str) -> str | list[str]:
    return list(words(value.strip("[] "))) if key == "milestones" else value


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
