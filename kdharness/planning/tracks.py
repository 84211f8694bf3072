"""What authors published for a pair, as a plan uses it in the track of that name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec
from kdharness.errors import UnknownName
from kdharness.failures import Failure, attempt
from kdharness.planning.catalogue import Installed
from kdharness.protocol.pair import parse_pair
from kdharness.protocol.variant import Value, coerced

# What `Method.published` calls all pairs.
EVERY = "*"


def published_of(method: Installed[MethodSpec], pair: Pair) -> tuple[dict[str, Value], str]:
    """The parameters that a method's authors chose for a pair where they differ from its defaults, over those that they
    chose for all; of methods trained as one, those of each. And why there are none to be had; "" where there are.
    """
    found: dict[str, Value] = {}
    for name, spec in _specs(method).items():
        values = attempt(partial(_published, spec, pair))
        if isinstance(values, Failure):
            return {}, f"what method '{spec.name}' says of published parameters is not usable: {values.error}"
        found |= {f"{name}{key}": value for key, value in values.items()}
    return found, ""


def _specs(method: Installed[MethodSpec]) -> dict[str, MethodSpec]:
    """By what stands before the names of its parameters."""
    return {f"{part}.": each.spec for part, each in method.parts.items()} or {"": method.spec}


def _published(spec: MethodSpec, pair: Pair) -> dict[str, Value]:
    said: Mapping[str, Mapping[str, Any]] = spec.factory.published
    _check(said)
    found: dict[str, Value] = {}
    for key in (EVERY, str(pair)):
        if key in said:
            found |= coerced(spec, said[key], f"published for {key}")
    return found


def chosen_by_pair(method: Installed[MethodSpec]) -> tuple[str, ...]:
    """The parameters that a method's authors chose for some pair, in order of names; of methods trained as one, those
    of each. A pair that they do not name has the defaults.
    """
    found = {f"{before}{name}" for before, spec in _specs(method).items() for name in _named_by_pair(spec)}
    return tuple(sorted(found))


def _named_by_pair(spec: MethodSpec) -> set[str]:
    said = spec.factory.published
    names = attempt(lambda: {str(name) for pair, table in said.items() if pair != EVERY for name in table})
    return set() if isinstance(names, Failure) else names  # what is no table skips the method's cells


def unknown_models(method: Installed[MethodSpec], models: Collection[str]) -> list[str]:
    """A line for each model that a method, or one of those trained as one, names in a pair and nobody provides: no
    such pair runs, and what is published for it would be passed over in silence.
    """
    return [line for spec in _specs(method).values() for line in dict.fromkeys(_unknown(spec, models))]


def _unknown(spec: MethodSpec, models: Collection[str]) -> Iterator[str]:
    pairs = attempt(lambda: [parse_pair(key) for key in spec.factory.published if key != EVERY])
    for pair in [] if isinstance(pairs, Failure) else pairs:  # what is no pair skips the method's cells
        for name in (*pair.teachers, pair.student):
            if name not in models:
                yield str(UnknownName("model", name, models, f"method '{spec.name}', published for {pair}"))


def _check(said: object) -> None:
    """TypeError for what is no table by pair, ValueError for a key that no pair could be called by."""
    if not isinstance(said, Mapping):
        raise TypeError(f"it is to be a table by pair, and is a {type(said).__name__}")
    for key, table in said.items():
        if key != EVERY:
            parse_pair(str(key))
        if not isinstance(table, Mapping):
            raise TypeError(f"of '{key}' it is to be a table of parameters, and is a {type(table).__name__}")
