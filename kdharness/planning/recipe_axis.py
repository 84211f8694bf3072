"""Recipes as an axis of the matrix: by name, the fields that differ for students. Teachers have one recipe for all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from kdharness.errors import UnknownName, UserError
from kdharness.planning.recipes import Recipes, field_text, listed_fields
from kdharness.protocol.benchmark import Benchmark
from kdharness.protocol.faults import explain
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import setting


@dataclass(frozen=True)
class AxisChanges:
    """What the command line says of it.

    names: of --recipes; None for all that the benchmark has.
    students: of --set student.…, for students under every recipe.
    everyone: the fields that --set recipe.… and --epochs give to all networks.
    """

    names: tuple[str, ...] | None = None
    students: Mapping[str, str] = field(default_factory=dict)
    everyone: frozenset[str] = frozenset()


def with_recipe_axis(recipes: Recipes, benchmark: Benchmark, changes: AxisChanges) -> Recipes:
    """The benchmark's recipes beside what holds for all networks. A field that was given to everyone holds under each.

    UserError for what is no recipe of the benchmark, no field of one, or no value of that.
    """
    tables = benchmark.recipe_tables
    given = listed_fields(changes.students, "student")
    students: dict[str, Mapping[str, Any]] = {}
    warnings = []
    for name in _named(tables, changes.names):
        own = {key: value for key, value in tables[name].items() if key not in changes.everyone}
        fields = _coerced(recipes.base, {**own, **given}, changes.students)
        same = next((other for other, known in students.items() if known == fields), None)
        if same is None:
            students[name] = fields
        else:
            warnings.append(f"recipe '{name}' is left out: it is the same as '{same}'")
    overridden = {key for key in changes.everyone if any(key in table for table in tables.values())}
    more = [f"recipe.{key}={field_text(getattr(recipes.base, key))}" for key in sorted(overridden)]
    return replace(
        recipes,
        students=students,
        deviations=tuple(dict.fromkeys((*recipes.deviations, *more))),
        student_deviations=tuple(f"student.{key}={changes.students[key]}" for key in sorted(given)),
        warnings=tuple(warnings),
    )


def _named(tables: Collection[str], names: tuple[str, ...] | None) -> tuple[str, ...]:
    """The recipes of --recipes, each once; all where it is not given."""
    if names is None:
        return tuple(tables)
    for name in names:
        if name not in tables:
            raise UnknownName("recipe", name, tables, "--recipes")
    if not names:
        raise UserError("no recipe is left: --recipes names none")
    return tuple(dict.fromkeys(names))


def _coerced(base: Recipe, fields: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """The fields JSON-valued. UserError for what is no value; `given` is at fault, for the benchmark's were checked."""
    try:
        whole = base.replaced(fields).model_dump(mode="json")
    except ValidationError as error:
        places = ", ".join(f"{setting('student', key)}={value}" for key, value in given.items())
        raise UserError(explain(error, Recipe, places, ("student",))) from None
    return {key: whole[key] for key in sorted(fields)}
