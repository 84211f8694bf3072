"""What the command line asks for: filters over a benchmark's axes, and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kdharness.errors import UserError, unknown
from kdharness.protocol.benchmark import Benchmark, explain_recipe
from kdharness.protocol.recipe import Recipe
from kdharness.text import words


@dataclass(frozen=True)
class MethodChoice:
    """A method to run: parameters beside the benchmark's, and loss terms to leave out.

    part: what an ablation calls it, '' outside one.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    part: str = ""


@dataclass(frozen=True)
class Selection:
    """None stands for what the benchmark says. settings: "owner.key=value" of --set; teachers: "FILE" or "model=FILE"
    of --teacher.

    choices: when given, these instead of `methods`.
    """

    methods: tuple[str, ...] | None = None
    skip: tuple[str, ...] = ()
    datasets: tuple[str, ...] | None = None
    pairs: tuple[str, ...] | None = None
    scenarios: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    settings: tuple[str, ...] = ()
    epochs: int | None = None
    teachers: tuple[str, ...] = ()
    choices: tuple[MethodChoice, ...] | None = None
    data_root: Path = Path("data")
    download: bool = False


def parse_settings(settings: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """{"kd": {"temperature": "2"}} from ("kd.temperature=2",). UserError names the setting that is not of that form."""
    parsed: dict[str, dict[str, str]] = {}
    for setting in settings:
        target, equals, value = setting.partition("=")
        owner, dot, key = target.strip().partition(".")
        if not equals or not dot or not owner or not key:
            raise UserError(
                f"--set {setting}: not of the form method.parameter=value, dataset.parameter=value, recipe.field=value"
            )
        parsed.setdefault(owner, {})[key] = value.strip()
    return parsed


@dataclass(frozen=True)
class Recipes:
    """The benchmark's recipes with what the command line changed. deviations: those changes, as text."""

    base: Recipe
    teacher: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    deviations: tuple[str, ...]

    @classmethod
    def of(cls, benchmark: Benchmark, changes: Mapping[str, str], epochs: int | None) -> Recipes:
        given: dict[str, Any] = dict(changes)
        where = ", ".join(f"--set recipe.{key}={value}" for key, value in changes.items())
        if epochs is not None:
            given["epochs"] = epochs
            where = ", ".join(filter(None, [where, f"--epochs {epochs}"]))
        for key in given:
            if key not in Recipe.model_fields:
                raise unknown("recipe field", key, Recipe.model_fields, f"--set recipe.{key}")
        given = {key: _listed(key, value) for key, value in given.items()}
        try:
            base = benchmark.recipe.replaced(given)
        except ValidationError as error:
            raise UserError(explain_recipe(error, where)) from None
        changed = {key: getattr(base, key) for key in given if getattr(base, key) != getattr(benchmark.recipe, key)}
        # A changed field holds for teachers and for all models: it would not be what was asked for otherwise.
        teacher = {k: v for k, v in benchmark.teacher.items() if k not in given}
        models = {m: {k: v for k, v in table.items() if k not in given} for m, table in benchmark.models.items()}
        overridden = {k for k in given if k in benchmark.teacher or any(k in t for t in benchmark.models.values())}
        names = sorted(set(changed) | overridden)
        return cls(base, teacher, models, tuple(f"recipe.{key}={_text(getattr(base, key))}" for key in names))

    def of_model(self, model: str, teaches: bool) -> Recipe:
        """The recipe for a network, as a teacher or as a student."""
        recipe = self.base.replaced(self.teacher) if teaches else self.base
        return recipe.replaced(self.models.get(model, {}))


def _listed(key: str, value: Any) -> Any:
    return list(words(value.strip("[] "))) if key == "milestones" and isinstance(value, str) else value


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
