"""The recipes of a benchmark's networks, with what the command line changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from kdharness.errors import UnknownName, UserError
from kdharness.protocol.benchmark import STANDARD, Benchmark
from kdharness.protocol.faults import explain
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import setting
from kdharness.text import words


@dataclass(frozen=True)
class Recipes:
    """A recipe, and the fields that differ.

    base: of all networks.
    teacher: what differs for teachers.
    models: what differs for a model, by its name.
    students: what differs for students, by name of the recipe; it outweighs what the benchmark says of models.
    commanded: what the command line says of a model, by its name; it outweighs all.
    deviations: changes to the benchmark's recipe, as text.
    student_deviations: those that hold for students alone.
    warnings: one line each.
    place: the benchmark, as errors call it.
    base_commanded: fields of `base` that the command line sets.
    """

    base: Recipe
    teacher: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    students: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {STANDARD: {}})
    commanded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    student_deviations: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    place: str = ""
    base_commanded: tuple[str, ...] = ()

    def of_teacher(self, model: str) -> Recipe:
        """The recipe of a network that teaches."""
        recipe = self._of_model(self.base.replaced(self.teacher).replaced(self.models.get(model, {})), model)
        return recipe.replaced({"teacher_outputs": "auto"})  # nobody teaches it

    def of_student(self, model: str, name: str) -> Recipe:
        """The recipe of a network that learns, under the recipe of that name."""
        return self._of_model(self.base.replaced(self.models.get(model, {})).replaced(self.students[name]), model)

    @property
    def said_of_models(self) -> dict[str, dict[str, Any]]:
        """By model, what the benchmark and the command line say of it."""
        names = {**self.models, **self.commanded}
        return {name: {**self.models.get(name, {}), **self.commanded.get(name, {})} for name in names}

    def _of_model(self, recipe: Recipe, model: str) -> Recipe:
        return recipe.replaced(self.commanded.get(model, {}))

    def named(self, field: str) -> Iterator[tuple[str, str]]:
        """Every value of a field that holds a name, and the place that it comes from."""
        yield getattr(self.base, field), setting("recipe", field) if field in self.base_commanded else self.place
        of_students = any(text.startswith(f"student.{field}=") for text in self.student_deviations)
        student_place = setting("student", field) if of_students else self.place
        others = (self.teacher, *self.models.values(), *self.commanded.values())
        yield from ((table[field], self.place) for table in others if field in table)
        yield from ((table[field], student_place) for table in self.students.values() if field in table)

    def renamed(self, field: str, name_of: Callable[[str], str]) -> Recipes:
        """With another name for what a field names."""

        def table_of(table: Mapping[str, Any]) -> dict[str, Any]:
            return {key: name_of(value) if key == field else value for key, value in table.items()}

        return replace(
            self,
            base=self.base.replaced({field: name_of(getattr(self.base, field))}),
            teacher=table_of(self.teacher),
            models={model: table_of(table) for model, table in self.models.items()},
            students={name: table_of(table) for name, table in self.students.items()},
        )


def resolve_recipes(benchmark: Benchmark, changes: Mapping[str, str], epochs: int | None) -> Recipes:
    """changes: of --set recipe.…; epochs: of --epochs. UserError for what is no field or no value of one."""
    given = listed_fields(changes, "recipe")
    places = [f"{setting('recipe', key)}={value}" for key, value in changes.items()]
    if epochs is not None:
        given["epochs"] = epochs
        places.append(f"--epochs {epochs}")
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
    deviations = (f"recipe.{key}={field_text(getattr(base, key))}" for key in sorted(changed | overridden))
    return Recipes(
        base,
        teacher,
        models,
        deviations=tuple(deviations),
        place=benchmark.place,
        base_commanded=tuple(changes),
    )


def listed_fields(changes: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Fields of --set owner.field=value. UserError for what is no field of a recipe."""
    for key in changes:
        if key not in Recipe.model_fields:
            raise UnknownName("recipe field", key, Recipe.model_fields, setting(owner, key))
    return {key: list(words(v.strip("[] "))) if key == "milestones" else v for key, v in changes.items()}


def field_text(value: object) -> str:
    """A field's value in deviations."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
