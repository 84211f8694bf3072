"""Methods that are trained as one, as a plan knows them: "crd+kd" beside "crd" and "kd"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec
from kdharness.planning.asked import NO_LAYERS, Asked
from kdharness.planning.catalogue import Catalogue, Installed, catalogue
from kdharness.planning.selection import MethodChoice
from kdharness.protocol.variant import Layer
from kdharness.text import JOIN, joined

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry

Layers = Mapping[Pair | None, Layer]


def combinations_of(asked: Asked, choices: Iterable[MethodChoice]) -> tuple[str, ...]:
    """Those that run, or that a claim or the benchmark's spread speaks of."""
    named = (*(choice.name for choice in choices), *(side.method for side in asked.sides), *asked.spread.methods)
    variants = (variant.name for variant in asked.variants)
    return tuple(name for name in dict.fromkeys((*named, *variants)) if JOIN in name)


def known_methods(registry: Registry, combinations: Iterable[str]) -> Catalogue[MethodSpec]:
    """All that are installed, and these."""
    installed: Catalogue[MethodSpec] = catalogue("method", registry)
    by_name = dict(installed.by_name)
    for name in combinations:
        whole = registry.get("method", name)
        parts = {part: installed.get(part) for part in joined(name)}
        by_name[name] = Installed(whole.spec, "", registry.stamp(whole), parts)
    return replace(installed, by_name=by_name)


def with_layers_of_parts(layers: Mapping[str, Layers], combinations: Iterable[str]) -> dict[str, Layers]:
    """What the benchmark says of methods, where what it says of a part holds for that part of a combination too.

    What it says of the combination itself goes first. Loss terms to leave out are those that it names for that.
    """
    return {**layers, **{name: _joined(name, layers) for name in combinations}}


def _joined(name: str, layers: Mapping[str, Layers]) -> Layers:
    own = layers.get(name, NO_LAYERS)
    parts = {part: layers.get(part, NO_LAYERS) for part in joined(name)}
    pairs = dict.fromkeys(pair for each in (own, *parts.values()) for pair in each)
    return {pair: _layer(own.get(pair, own[None]), parts, pair) for pair in pairs}


def _layer(own: Layer, parts: Mapping[str, Layers], pair: Pair | None) -> Layer:
    found: dict[str, Any] = {}
    place = own.place
    for part, layers in parts.items():
        layer = layers.get(pair, layers[None])
        found |= {f"{part}.{key}": value for key, value in layer.parameters.items()}
        place = place or layer.place
    return Layer({**found, **own.parameters}, own.without, place)
