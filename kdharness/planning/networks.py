"""The networks of a run: a table of a benchmark holds recipe fields and parameters of a model, as --set does."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from kdharness.api.declarations import ModelSpec
from kdharness.errors import UnknownName, UserError
from kdharness.planning.catalogue import Catalogue
from kdharness.planning.recipes import Recipes
from kdharness.planning.selection import Settings
from kdharness.protocol.faults import explain
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import COMMAND, coerced, defaults, setting, shown, values_of

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Networks:
    """What is said of models beside their recipes.

    documents: by model, its part of a cell's identity; a model of which nothing is said is not there.
    deviations: what the command line changed, as text.
    """

    documents: Tables = field(default_factory=dict)
    deviations: tuple[str, ...] = ()

    def document(self, model: str) -> Mapping[str, Any]:
        """Its part of a cell's identity: parameters other than the defaults."""
        return self.documents.get(model, {})


def configured(spec: ModelSpec, document: Mapping[str, Any]) -> ModelSpec:
    """The spec of a network that a cell's document says this of."""
    return spec.configured(document.get("parameters", {}))


def network_text(document: Mapping[str, Any]) -> str:
    """A network as people read it: "vit_micro_p2@drop_path=0.1"."""
    said = [f"{key}={shown(value)}" for key, value in sorted(document.get("parameters", {}).items())]
    return f"{document['name']}@{','.join(said)}" if said else str(document["name"])


# -- recipes -----------------------------------------------------------------------------------------------------------


def recipe_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe fields of a model's table."""
    return {key: value for key, value in table.items() if key in Recipe.model_fields}


def network_part(table: Mapping[str, Any]) -> dict[str, Any]:
    """What else a model's table says."""
    return {key: value for key, value in table.items() if key not in Recipe.model_fields}


def with_settings(recipes: Recipes, settings: Settings, models: Collection[str]) -> Recipes:
    """The recipes with what --set says of the models' own. UserError for wrong values."""
    tables, deviations = {}, list(recipes.deviations)
    for model, given in _of_models(settings, models):
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


def _of_models(settings: Settings, models: Collection[str]) -> Iterable[tuple[str, Mapping[str, str]]]:
    return ((owner, given) for owner, given in settings.items() if owner in models)


# -- parameters --------------------------------------------------------------------------------------------------------


def resolve_networks(
    tables: Tables, place: str, settings: Settings, models: Collection[str], installed: Catalogue[ModelSpec]
) -> Networks:
    """tables: the benchmark's, without recipe fields, said at `place`. models: those that settings may speak of.

    UserError for what a model has not, and for wrong values.
    """
    documents, deviations = {}, []
    commands = dict(_of_models(settings, models))
    for name in dict.fromkeys((*tables, *commands)):
        if name not in installed.by_name:  # a warning says so of those that the benchmark speaks of
            continue
        spec = installed.by_name[name].spec
        own = _parameters(spec, tables.get(name, {}), place)
        command = _parameters(spec, network_part(commands.get(name, {})), COMMAND)
        usual = values_of(defaults(spec))
        changed = {key: value for key, value in {**own, **command}.items() if value != usual[key]}
        if changed:
            documents[name] = {"parameters": changed}
        deviations += [f"{name}.{k}={shown(v)}" for k, v in sorted(command.items()) if v != {**usual, **own}[k]]
    return Networks(documents, tuple(deviations))


def _parameters(spec: ModelSpec, given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """What a place says of a model's parameters, JSON-valued."""
    known = [*Recipe.model_fields, *(p.name for p in spec.parameters)]
    for key in given:
        if key not in known:
            at = setting(spec.name, key) if place == COMMAND else place
            raise UnknownName(f"recipe field or parameter of model '{spec.name}'", key, known, at)
    return values_of(coerced(spec, given, place))
