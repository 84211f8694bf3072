"""Variants: a method's parameters and dropped terms, from TOML or text to one form, and from it to what is shown."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from kdharness.api.specs import DatasetSpec, MethodSpec
from kdharness.errors import UserError, unknown
from kdharness.text import words

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method

# Places that a value may come from, beside "benchmark 'digits'" and the like.
DEFAULT = "default"
COMMAND = "--set"


class Variant(BaseModel):
    """A method to run beside its plain form: parameters that differ, and loss terms to leave out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    without: tuple[str, ...] = ()


# -- parameters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A parameter's value, coerced and JSON-valued, and the place that gave it ("--set kd.temperature")."""

    value: Any
    place: str


def defaults(spec: MethodSpec | DatasetSpec) -> dict[str, Value]:
    """All parameters of a method or dataset, by name."""
    return {p.name: Value(p.canonical(p.default), DEFAULT) for p in spec.parameters}


def coerced(spec: MethodSpec | DatasetSpec, given: Mapping[str, Any], place: str) -> dict[str, Value]:
    """What a place gives, each value as its parameter's type. UserError for unknown names and wrong types."""
    owner = f"{'method' if isinstance(spec, MethodSpec) else 'dataset'} '{spec.name}'"
    by_name = {p.name: p for p in spec.parameters}
    found = {}
    for key, value in given.items():
        at = setting(spec.name, key) if place == COMMAND else place
        if key not in by_name:
            raise unknown(f"parameter of {owner}", key, by_name, at)
        try:
            found[key] = Value(by_name[key].canonical(value), at)
        except ValueError as error:
            raise UserError(f"{owner}: parameter '{key}': {error}{f' ({at})' if at else ''}") from None
    return found


def completed(spec: MethodSpec | DatasetSpec, given: Mapping[str, Any], place: str) -> dict[str, Value]:
    """All parameters: what a place gives, and the defaults of the others."""
    return {**defaults(spec), **coerced(spec, given, place)}


def setting(owner: str, key: str) -> str:
    """The place of a value that the command line gives."""
    return f"{COMMAND} {owner}.{key}"


def commanded(place: str) -> bool:
    """Whether a value is given on the command line."""
    return place.startswith(f"{COMMAND} ")


def plain(values: Mapping[str, Value]) -> dict[str, Any]:
    """The values alone."""
    return {name: given.value for name, given in values.items()}


def made(spec: MethodSpec, parameters: Mapping[str, Any]) -> Method:
    """The method with all its parameters, JSON-valued as they are coerced. It may raise anything."""
    return spec.factory(**{p.name: p.coerce(parameters[p.name]) for p in spec.parameters})


# -- loss terms --------------------------------------------------------------------------------------------------------


def lacking(terms: Mapping[str, str], without: Sequence[str]) -> list[str]:
    """Those of `without` that are not among a method's declared terms; none where it declares nothing."""
    return [term for term in without if terms and term not in terms]


def check_without(spec: MethodSpec, without: Sequence[str], where: str) -> None:
    """UserError for a term that the method does not have, where it declares them whatever its parameters."""
    declared: object = spec.factory.terms  # a property where they depend on parameters
    terms = declared if isinstance(declared, Mapping) else {}
    for term in lacking(terms, without):
        raise unknown_term(spec, term, terms, where)


def unknown_term(spec: MethodSpec, term: str, terms: Mapping[str, str], where: str) -> UserError:
    """The error for a loss term to leave out that the method does not have."""
    return unknown(f"loss term of method '{spec.name}'", term, terms, where)


def untrainable(method: str, terms: Mapping[str, str], without: Sequence[str]) -> str | None:
    """Why a method cannot be trained without these of its declared terms: it lacks one, or no other is left. None
    where it can.
    """
    for term in lacking(terms, without):
        return f"without names the term '{term}', which '{method}' lacks (it has {', '.join(terms)})"
    if not without or not terms or set(terms) - set(without):
        return None
    return f"without {' and '.join(without)} no loss term is left to train by"


# -- text --------------------------------------------------------------------------------------------------------------


def parts(value: object) -> tuple[str, ...]:
    """The names in "a,b", "[a, b]" or a list; () for anything else."""
    if isinstance(value, str):
        return words(value.strip("[]()"))
    return tuple(str(part) for part in value) if isinstance(value, list | tuple) else ()


def variant_text(parameters: Mapping[str, Any], base: Mapping[str, Any], without: Sequence[str]) -> str:
    """What differs from the benchmark's own parameters: "temperature=2,without=ce"."""
    changed = [f"{key}={shown(value)}" for key, value in sorted(parameters.items()) if value != base[key]]
    return ",".join([*changed, *(f"without={term}" for term in sorted(without))])


def shown(value: Any) -> str:
    """A parameter's value as variants show it: 4.0 as "4", a list as "a+b"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "+".join(map(shown, value)) if isinstance(value, list) else str(value)


def parse_variant(text: str, spec: MethodSpec, where: str) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Parameters and terms to leave out of "byot[alpha=0.0,without=hint]". UserError for what the method lacks."""
    _, bracket, inside = (word.strip() for word in text.partition("["))
    if bracket and not inside.endswith("]"):
        raise UserError(f"{where}: '{text}' is not of the form method or method[parameter=value,without=term]")
    types = {p.name: p.type for p in spec.parameters}
    given: dict[str, str] = {}
    without: list[str] = []
    for part in parts(inside):
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise UserError(f"{where}: '{part}' in '{text}' is not of the form parameter=value")
        if key == "without":
            without.append(value)
        else:
            listed = typing.get_origin(types.get(key)) in (tuple, list)
            given[key] = value.replace("+", ",") if listed else value
    check_without(spec, without, where)
    return coerced(spec, given, where), tuple(without)
