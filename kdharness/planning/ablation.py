"""Ablation: a method, what it is without each of its parts, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kdharness.planning.resolve import Resolved
from kdharness.planning.selection import MethodChoice
from kdharness.protocol.variant import declared_terms, parts

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method


def terms_that_run(resolved: Resolved, method: str) -> tuple[str, ...]:
    """The loss terms that a method declares with the parameters that run, for whatever pair; () for none.

    Terms that it is without anyway are not among them.
    """
    spec = resolved.methods.get(method).spec
    setups = [setup for chosen in resolved.chosen if chosen.name == method for setup in chosen.setups.values()]
    terms = (term for s in setups for term in declared_terms(spec, s.parameters) if term not in s.without)
    return tuple(dict.fromkeys(terms))


def ablation_choices(
    name: str, method: type[Method], terms: Sequence[str], beside: Sequence[str]
) -> tuple[MethodChoice, ...]:
    """The whole method first, it without each of `terms`, its declared ablations, and the other methods named.

    name: what the plan calls the method.
    """
    dropped = [MethodChoice(name, without=(term,), part=f"{name} without {term}") for term in terms]
    declared = []
    for label, changes in method.ablations.items():
        parameters = {key: value for key, value in changes.items() if key != "without"}
        without, place = parts(changes.get("without", ())), f"ablation '{label}'"
        declared.append(MethodChoice(name, parameters, without, place, part=f"{name}[{label}]"))
    others = [MethodChoice(other, part=other) for other in beside if other != name]
    return (MethodChoice(name, part=name), *dropped, *declared, *others)
