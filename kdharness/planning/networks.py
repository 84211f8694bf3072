"""The networks of a run: each model's parameters, and the weights that its networks begin with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kdharness.api.declarations import ModelSpec
from kdharness.errors import UnknownName
from kdharness.planning.asked import DataPlace
from kdharness.planning.catalogue import Catalogue
from kdharness.planning.model_recipes import network_part, of_models
from kdharness.planning.pretrained import NEW_CLASSIFIER, WEIGHTS, start_of
from kdharness.planning.selection import Settings
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import COMMAND, Value, coerced, defaults, setting, shown, values_of
from kdharness.weights.choice import marked

Tables = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Networks:
    """What is said of models beside their recipes.

    documents: by model, its part of a cell's identity; a model of which nothing is said is not there.
    deviations: what the command line changed, as text.
    files: by SHA-256, where the files of weights lie.
    seen_data: by model, what the weights that its networks begin with were trained on.
    """

    documents: Tables = field(default_factory=dict)
    deviations: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    seen_data: Mapping[str, str] = field(default_factory=dict)

    def document(self, model: str) -> Mapping[str, Any]:
        """Its part of a cell's identity: parameters other than the defaults, and the weights that it begins with."""
        return self.documents.get(model, {})


def configured(spec: ModelSpec, document: Mapping[str, Any]) -> ModelSpec:
    """The spec of a network that a cell's document says this of. Published weights bring their preprocessing."""
    spec = spec.configured(document.get("parameters", {}))
    release = document.get("weights", {}).get("release")
    if release is None or spec.pretrained is None:
        return spec
    return replace(spec, preprocessing=spec.pretrained()[release].preprocessing or spec.preprocessing)


def network_text(document: Mapping[str, Any]) -> str:
    """A network as people read it: "vit_micro_p2@drop_path=0.1"."""
    said = [f"{key}={shown(value)}" for key, value in sorted(document.get("parameters", {}).items())]
    if weights := document.get("weights"):
        file = marked(weights.get("sha256", "")[:12], weights.get("chosen", ""))
        said.append(f"weights={weights.get('release') or file}")
    return f"{document['name']}@{','.join(said)}" if said else str(document["name"])


def resolve_networks(
    tables: Tables,
    place: str,
    settings: Settings,
    models: Collection[str],
    installed: Catalogue[ModelSpec],
    data: DataPlace,
) -> Networks:
    """tables: the benchmark's, without recipe fields, said at `place`. models: those that settings may speak of.

    UserError for what a model has not, for wrong values, and for weights that are not there.
    """
    documents: dict[str, Mapping[str, Any]] = {}
    files: dict[str, str] = {}
    seen: dict[str, str] = {}
    deviations: list[str] = []
    commands = dict(of_models(settings, models))
    for name in dict.fromkeys((*tables, *commands)):
        if name not in installed.by_name:  # a warning says so of those that the benchmark speaks of
            continue
        spec = installed.by_name[name].spec
        own = {**defaults(_whole(spec)), **_said(spec, tables.get(name, {}), place)}
        command = _said(spec, network_part(commands.get(name, {})), COMMAND)
        start = start_of(spec, {**own, **command}, data)
        if document := {**_parameters(spec, {**own, **command}), **start.document}:
            documents[name] = document
        files.update(start.files)
        seen |= {name: start.seen_data} if start.seen_data else {}
        changed = {key: said.value for key, said in sorted(command.items()) if said.value != own[key].value}
        deviations += [f"{name}.{k}={start.text if k == WEIGHTS.name else shown(v)}" for k, v in changed.items()]
    return Networks(documents, tuple(deviations), files, seen)


def _whole(spec: ModelSpec) -> ModelSpec:
    """The spec with all that a table may hold beside recipe fields."""
    return replace(spec, parameters=(*spec.parameters, WEIGHTS, NEW_CLASSIFIER))


def _said(spec: ModelSpec, given: Mapping[str, Any], place: str) -> dict[str, Value]:
    """What a place says of a model, coerced."""
    whole = _whole(spec)
    known = [*Recipe.model_fields, *(p.name for p in whole.parameters)]
    for key in given:
        if key not in known:
            at = setting(spec.name, key) if place == COMMAND else place
            raise UnknownName(f"recipe field or parameter of model '{spec.name}'", key, known, at)
    return coerced(whole, given, place)


def _parameters(spec: ModelSpec, given: Mapping[str, Value]) -> dict[str, Any]:
    """The document's part on parameters."""
    usual = values_of(defaults(spec))
    changed = {name: given[name].value for name in usual if given[name].value != usual[name]}
    return {"parameters": changed} if changed else {}
