"""Variants: a method's parameters and dropped terms, from TOML or text to one form, and from it to what is shown."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from kdharness.api.parameters import Parameter
from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError, unknown
from kdharness.text import words

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method


class Variant(BaseModel):
    """A method to run beside its plain form: parameters that differ, and loss terms to leave out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    without: tuple[str, ...] = ()


def coerced(
    owner: str, parameters: Sequence[Parameter], given: Mapping[str, Any], where: str = "--set"
) -> dict[str, Any]:
    """All parameters by name, JSON-valued. UserError for unknown names and values of the wrong type."""
    by_name = {p.name: p for p in parameters}
    values = {p.name: p.canonical(p.default) for p in parameters}
    for key, value in given.items():
        if key not in by_name:
            raise unknown(f"parameter of {owner}", key, by_name, where)
        try:
            values[key] = by_name[key].canonical(value)
        except ValueError as error:
            raise UserError(f"{owner}: parameter '{key}': {error}") from None
    return values


def parts(value: object) -> tuple[str, ...]:
    """The names in "a,b", "[a, b]" or a list; () for anything else."""
    if isinstance(value, str):
        return words(value.strip("[]()"))
    return tuple(str(part) for part in value) if isinstance(value, list | tuple) else ()


def made(spec: MethodSpec, parameters: Mapping[str, Any]) -> Method:
    """The method with all its parameters, as `coerced` gives them. It may raise anything."""
    return spec.factory(**{p.name: p.coerce(parameters[p.name]) for p in spec.parameters})


def lacking(terms: Mapping[str, str], without: Sequence[str]) -> list[str]:
    """Those of `without` that are not among a method's declared terms; none where it declares nothing."""
    return [term for term in without if terms and term not in terms]


def check_without(spec: MethodSpec, without: Sequence[str], where: str) -> None:
    """UserError for a term that the method does not have, where it declares them whatever its parameters."""
    terms = spec.factory.terms
    for term in lacking(terms if isinstance(terms, Mapping) else {}, without):
        raise unknown(f"loss term of method '{spec.name}'", term, terms, where)


def untrainable(method: str, terms: Mapping[str, str], without: Sequence[str]) -> str | None:
    """Why a method cannot be trained without these of its declared terms: it lacks one, or no other is left. None
    where it can.
    """
    for term in lacking(terms, without):
        return f"without names the term '{term}', which '{method}' lacks (it has {', '.join(terms)})"
    if not without or not terms or set(terms) - set(without):
        return None
    return f"without {' and '.join(without)} no loss term is left to train by"


def variant_text(parameters: Mapping[str, Any], base: Mapping[str, Any], without: Sequence[str]) -> str:
    """What differs from the benchmark's own parameters: "temperature=2,without=ce"."""
    changed = [f"{key}={shown(value)}" for key, value in sorted(parameters.items()) if value != base[key]]
    return ",".join([*changed, *(f"without={term}" for term in sorted(without))])


def shown(value: Any) -> str:
    """A parameter's value as variants show it: 4.0 as "4", a list as "a+b"."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "+".join(map(shown, value)) if isinstance(value, list) else str(value)


def competitor(text: str, spec: MethodSpec, base: Mapping[str, Any], where: str) -> tuple[str, str]:
    """(method, variant) of "byot" or "byot[alpha=0.0,without=hint]", the variant as tables show it.

    base: the benchmark's own parameters for the method. UserError for what the method does not have.
    """
    method, bracket, inside = (word.strip() for word in text.partition("["))
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
    owner = f"method '{method}'"
    own = coerced(owner, spec.parameters, base)
    return method, variant_text(coerced(owner, spec.parameters, {**base, **given}, where), own, without)
