"""Variants: a method's parameters and dropped terms, from TOML or text to one form, and from it to what is shown."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from kdharness.api.declarations import ModelSpec
from kdharness.api.specs import DatasetSpec, MethodSpec, OptimizerSpec
from kdharness.errors import UnknownName, UserError
from kdharness.failures import Failure, attempt
from kdharness.text import JOIN, words

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method

# What has typed parameters, and what errors call it.
Parametrised = MethodSpec | DatasetSpec | ModelSpec | OptimizerSpec
KINDS: dict[type[Parametrised], str] = {
    MethodSpec: "method",
    DatasetSpec: "dataset",
    ModelSpec: "model",
    OptimizerSpec: "optimizer",
}

# Places that a value may come from, beside "benchmark 'digits'" and the like.
DEFAULT = "default"
COMMAND = "--set"


class Variant(BaseModel):
    """A method to run beside its plain form: parameters that differ, and loss terms to leave out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layer:
    """What one place says of a method: parameters, and loss terms to leave out (None: it says nothing of them)."""

    parameters: Mapping[str, Any]
    without: tuple[str, ...] | None
    place: str

    @classmethod
    def of(cls, table: Mapping[str, Any], place: str) -> Layer:
        """table: parameters, and the terms under "without", which is no parameter."""
        rest = {key: value for key, value in table.items() if key != "without"}
        return cls(rest, parts(table["without"]) if "without" in table else None, place)


def flattened(method: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """What a benchmark says of a method. Of several trained as one, TOML's `kd.temperature = 2`, a table of its own, is
    the parameter of that name.
    """
    if JOIN not in method:
        return dict(table)
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= {f"{key}.{inner}": each for inner, each in value.items()} if isinstance(value, dict) else {key: value}
    return found


# -- parameters --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """A parameter's value, coerced and JSON-valued, and the place that gave it ("--set kd.temperature")."""

    value: Any
    place: str


def defaults(spec: Parametrised) -> dict[str, Value]:
    """All parameters with their defaults, by name."""
    return {p.name: Value(p.canonical(p.default), DEFAULT) for p in spec.parameters}


def coerced(spec: Parametrised, given: Mapping[str, Any], place: str) -> dict[str, Value]:
    """What a place gives, each value as its parameter's type. UserError for unknown names and wrong types."""
    owner = f"{KINDS[type(spec)]} '{spec.name}'"
    by_name = {p.name: p for p in spec.parameters}
    found = {}
    for key, value in given.items():
        at = setting(spec.name, key) if place == COMMAND else place
        if key not in by_name:
            raise UnknownName(f"parameter of {owner}", key, by_name, at)
        try:
            found[key] = Value(by_name[key].canonical(value), at)
        except ValueError as error:
            raise UserError(f"{owner}: parameter '{key}': {error}{f' ({at})' if at else ''}") from None
    return found


def completed(spec: Parametrised, given: Mapping[str, Any], place: str) -> dict[str, Value]:
    """All parameters: what a place gives, and the defaults of the others."""
    return {**defaults(spec), **coerced(spec, given, place)}


def setting(owner: str, key: str) -> str:
    """The place of a value that the command line gives."""
    return f"{COMMAND} {owner}.{key}"


def commanded(place: str) -> bool:
    """Whether a value is given on the command line."""
    return place.startswith(f"{COMMAND} ")


def values_of(values: Mapping[str, Value]) -> dict[str, Any]:
    """The values alone."""
    return {name: given.value for name, given in values.items()}


def made(spec: MethodSpec, parameters: Mapping[str, Any]) -> Method:
    """The method with all its parameters, JSON-valued as they are coerced. It may raise anything."""
    return spec.factory(**{p.name: p.coerce(parameters[p.name]) for p in spec.parameters})


# -- loss terms --------------------------------------------------------------------------------------------------------


def lacking(terms: Mapping[str, str], without: Sequence[str]) -> list[str]:
    """The terms of `without` that a method does not declare; none where it declares nothing."""
    return [term for term in without if terms and term not in terms]


def check_without(spec: MethodSpec, without: Sequence[str], where: str) -> None:
    """UserError for a term that the method does not have, where it declares them whatever its parameters."""
    declared: object = spec.factory.terms  # a property where they depend on parameters
    terms = declared if isinstance(declared, Mapping) else {}
    for term in lacking(terms, without):
        raise unknown_term(spec, term, terms, where)


def unknown_term(spec: MethodSpec, term: str, terms: Mapping[str, str], where: str) -> UserError:
    """The error for a loss term to leave out that the method does not have."""
    return UnknownName(f"loss term of method '{spec.name}'", term, terms, where)


def declared_terms(spec: MethodSpec, parameters: Mapping[str, Value]) -> Mapping[str, str]:
    """The loss terms that a method declares with these parameters; none where it cannot be made."""
    found = attempt(lambda: dict(made(spec, values_of(parameters)).terms))
    return {} if isinstance(found, Failure) else found  # its cells are skipped with what it raised


def untrainable(method: str, terms: Mapping[str, str], without: Sequence[str]) -> str | None:
    """Why a method cannot be trained without these of its declared terms: it lacks one, or no other is left. None
    where it can.
    """
    for term in lacking(terms, without):
        return f"without names the term '{term}', which '{method}' lacks (it has {', '.join(terms)})"
    if not without or not terms or set(terms) - set(without):
        return None
    return f"without {' and '.join(without)} no loss term is left to train by"


# -- both, for one pair ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """A method's parameters for one pair; a dataset's, or an optimiser's.

    parameters: all that run.
    own: all as the benchmark has them. A variant's name is what differs from these.
    without: the loss terms left out, in order of names, each with the place that leaves it out.
    fault: why it cannot be had, of what a plugin says; "" where it can.
    by_pair: in the published track those that authors chose for each pair, JSON-valued.
    """

    parameters: Mapping[str, Value]
    own: Mapping[str, Value]
    without: Mapping[str, str] = field(default_factory=dict)
    fault: str = ""
    by_pair: Mapping[str, Any] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """The parameters, JSON-valued."""
        return values_of(self.parameters)

    @property
    def variant(self) -> str:
        """What is not the benchmark's own, as text; '' for nothing."""
        return variant_text(self.values, values_of(self.own), tuple(self.without))

    @property
    def is_commanded(self) -> bool:
        """Whether the command line has a say in it."""
        return any(map(commanded, (*(given.place for given in self.parameters.values()), *self.without.values())))


def set_up(
    spec: MethodSpec,
    base: Layer,
    command: Layer,
    choice: Layer,
    is_part: bool = False,
    published: Mapping[str, Value] = MappingProxyType({}),
) -> Setup | None:
    """A method as a benchmark has it, with what --set says of it, and with what tells a choice from the plain method.

    published: what stands in place of its defaults.
    is_part: whether the choice is a part of an ablation: None where it drops a term that there is not.
    UserError for parameters and terms that the method does not have.
    """
    without = dict.fromkeys(base.without or (), base.place)
    if command.without is not None:
        without = dict.fromkeys(command.without, setting(spec.name, "without"))
    without |= dict.fromkeys(choice.without or (), choice.place)
    own = {**defaults(spec), **published, **coerced(spec, base.parameters, base.place)}
    changes = coerced(spec, choice.parameters, choice.place)
    # What tells a variant from the plain method outweighs --set, or the two would be one.
    given = {**own, **coerced(spec, command.parameters, COMMAND), **changes}
    setup = Setup(given, own, dict(sorted(without.items())))
    dropped = (choice.without or ()) if is_part else ()
    return setup if _has_terms(spec, setup, {**own, **changes}, dropped) else None


def _has_terms(spec: MethodSpec, setup: Setup, declared: Mapping[str, Value], dropped: Sequence[str]) -> bool:
    """Whether there is such a part to leave out, where an ablation asks for it.

    declared: the parameters but for --set. dropped: the terms that the ablation drops. UserError for a term that is
    not there, unless it is only --set that takes it away: then the cell is skipped, with that reason.
    """
    terms = declared_terms(spec, setup.parameters)
    for term in lacking(terms, tuple(setup.without)):
        if term in dropped:
            return False
        place = setup.without[term]
        known = terms if commanded(place) else declared_terms(spec, declared)
        if lacking(known, [term]):
            raise unknown_term(spec, term, known, place)
    return True


def check_variant(spec: MethodSpec, variant: Layer) -> None:
    """UserError where it names what its method lacks."""
    coerced(spec, variant.parameters, variant.place)
    check_without(spec, variant.without or (), variant.place)


def set_up_plain(
    spec: DatasetSpec | OptimizerSpec, table: Mapping[str, Any], place: str, command: Mapping[str, Any]
) -> Setup:
    """table: what the benchmark says of it, at `place`; command: --set. UserError for parameters that it has not."""
    own = completed(spec, table, place)
    return Setup({**own, **coerced(spec, command, COMMAND)}, own)


def called(text: str, name: str, spec: MethodSpec, base: Layer, where: str) -> str:
    """What tables call "byot[alpha=0.0]": "byot[alpha=0]", or "byot" where the benchmark itself says so.

    name: what the plan calls the method.
    """
    given, without = parse_variant(text, spec, where)
    own = completed(spec, base.parameters, where)
    variant = variant_text(values_of({**own, **given}), values_of(own), without)
    return f"{name}[{variant}]" if variant else name


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
