"""Recipes as TOML files that come with kdharness: what a paper's code does, under a name that benchmarks can take."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kdharness.errors import UnknownName, UserError
from kdharness.protocol.faults import explain
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.toml import read_toml

# In a [recipe] table or a recipe's file: the recipe whose fields hold where the table has none of its own.
FROM = "from"
# What a benchmark takes from a recipe's file beside its fields.
TABLES = ("teacher", "models", "optimizers")


class RecipeFile(BaseModel):
    """A recipe as somebody published it.

    name: the file's.
    summary: one line for listings.
    source: the files that were read, as "owner/repository: path".
    rule: which epoch its authors report; "" where they do not say.
    left_out: what they do and this does not, one sentence each: numbers of theirs are then no measure of it.
    recipe: its fields.
    teacher: fields that differ for teachers.
    models: by model, fields that differ, and its parameters.
    optimizers: by optimiser, its own parameters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    summary: str
    source: str
    rule: str = ""
    left_out: tuple[str, ...] = ()
    recipe: dict[str, Any]
    teacher: dict[str, Any] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    optimizers: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def of(self, model: str, is_teacher: bool = False) -> Recipe:
        """The recipe of a network."""
        fields = {k: v for k, v in self.models.get(model, {}).items() if k in Recipe.model_fields}
        return Recipe.model_validate({**self.recipe, **(self.teacher if is_teacher else {}), **fields})


def recipe_names() -> dict[str, Path]:
    """The files, by name."""
    folder = Path(str(files("kdharness_benchmarks"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


@cache
def recipe_file(name: str) -> RecipeFile:
    """UserError for a name that there is not."""
    if name not in recipe_names():
        raise UnknownName("recipe", name, recipe_names(), "benchmarks/recipes")
    path = recipe_names()[name]
    content = read_toml(path, "recipe file")
    if base := content.pop(FROM, ""):
        content = _upon(recipe_file(base), content)
    try:
        found = RecipeFile.model_validate({"name": name, **content})
        for model in ("", *found.models):
            found.of(model)
    except ValidationError as error:
        raise UserError(explain(error, RecipeFile, str(path))) from None
    return found


def with_recipe_file(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A benchmark's document with the fields of the recipe that it names: `recipe = "NAME"`, or `from` in [recipe].

    What the document says itself goes first, field by field. UserError for a name that there is not.
    """
    recipe = content.get("recipe")
    own = {FROM: recipe} if isinstance(recipe, str) else recipe
    if not isinstance(own, Mapping) or FROM not in own:
        return dict(content)
    name = own[FROM]
    if not isinstance(name, str) or name not in recipe_names():
        raise UnknownName("recipe", str(name), recipe_names(), f"{source}: recipe")
    fields = {key: value for key, value in own.items() if key != FROM}
    return _upon(recipe_file(name), {**content, "recipe": fields})


def _upon(base: RecipeFile, content: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what it does not say itself."""
    merged = {**content, "recipe": {**base.recipe, **content.get("recipe", {})}}
    for name in TABLES:
        own = content.get(name, {})
        if isinstance(own, Mapping) and (found := _merged(getattr(base, name), own)):
            merged[name] = found
    return merged


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, and tables in them likewise; where both say something, `above` goes first."""
    both = {**below, **above}
    for key, value in below.items():
        if isinstance(value, Mapping) and isinstance(above.get(key), Mapping):
            both[key] = _merged(value, above[key])
    return both
