"""Names of the form "package/name": a plan calls each thing by one name, however it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kdharness.api.requirements import Pair
from kdharness.planning.asked import Asked, Names
from kdharness.planning.model_recipes import with_settings
from kdharness.planning.selection import MethodChoice, Settings

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry

T = TypeVar("T")


def settled(asked: Asked, registry: Registry) -> Asked:
    """With the short name of what has it alone, and "package/name" of what shares its name. What --set says of models
    is among their recipes then.
    """
    method, dataset = partial(registry.name_of, "method"), partial(registry.name_of, "dataset")
    model, metric = partial(registry.name_of, "model"), partial(registry.name_of, "metric")
    optimizer = partial(registry.name_of, "optimizer")

    def pair_of(pair: Pair) -> Pair:
        return Pair(tuple(map(model, pair.teachers)), model(pair.student))

    def choice_of(choice: MethodChoice) -> MethodChoice:
        return replace(choice, name=method(choice.name))

    recipes = asked.recipes.renamed("augmentation", partial(registry.name_of, "view")).renamed("optimizer", optimizer)

    def owner_of(name: str) -> str:
        return model(optimizer(method(dataset(name))))

    model_names, settings = _each(asked.model_names, model), _settings(asked.settings, owner_of)
    return replace(
        asked,
        methods=Names(_each(asked.methods.names, method), asked.methods.place),
        skip=_each(asked.skip, method),
        spread=replace(asked.spread, methods=_each(asked.spread.methods, method)),
        choices=None if asked.choices is None else tuple(map(choice_of, asked.choices)),
        variants=tuple(map(choice_of, asked.variants)),
        datasets=Names(_each(asked.datasets.names, dataset), asked.datasets.place),
        own_datasets=_each(asked.own_datasets, dataset),
        pairs=tuple(dict.fromkeys(map(pair_of, asked.pairs))),
        own_pairs=tuple(map(pair_of, asked.own_pairs)),
        settings=settings,
        layers={
            method(name): {None if pair is None else pair_of(pair): layer for pair, layer in layers.items()}
            for name, layers in asked.layers.items()
        },
        tables=_keyed(asked.tables, dataset),
        optimizers=_keyed(asked.optimizers, optimizer),
        models=_keyed(asked.models, model),
        model_names=model_names,
        files=_keyed(asked.files, model),
        metrics=_each(asked.metrics, metric),
        claims=tuple(
            (where, claim.model_copy(update={"dataset": claim.dataset and dataset(claim.dataset)}))
            for where, claim in asked.claims
        ),
        sides=tuple(replace(side, method=method(side.method)) for side in asked.sides),
        references=_each(asked.references, method),
        mentioned={
            kind: tuple(registry.name_of(kind, name) for name in names) for kind, names in asked.mentioned.items()
        },
        recipes=with_settings(replace(recipes, models=_keyed(recipes.models, model)), settings, model_names),
    )


def _each(names: tuple[str, ...], name_of: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(name_of, names)))


def _settings(settings: Settings, name_of: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """An owner may have been called by both of its names."""
    found: dict[str, dict[str, str]] = {}
    for owner, table in settings.items():
        found.setdefault(name_of(owner), {}).update(table)
    return found


def _keyed(table: Mapping[str, T], name_of: Callable[[str], str]) -> dict[str, T]:
    return {name_of(name): value for name, value in table.items()}
