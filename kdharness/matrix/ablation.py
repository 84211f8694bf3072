"""Ablation: a method, what it is without each of its parts, and what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdharness.api.method import Method
from kdharness.matrix.selection import MethodChoice


def declared_terms(method: type[Method]) -> Mapping[str, str]:
    """The tags by term that a method declares, also where they follow from its parameters; {} for none."""
    return method.terms if isinstance(method.terms, Mapping) else method().terms


def ablation_choices(method: type[Method], terms: Sequence[str], beside: Sequence[str]) -> tuple[MethodChoice, ...]:
    """The whole method first, it without each of `terms`, its declared ablations, and the other methods named."""
    name = method.name
    dropped = [MethodChoice(name, without=(term,), part=f"{name} without {term}") for term in terms]
    declared = [
        MethodChoice(name, dict(parameters), part=f"{name}[{label}]") for label, parameters in method.ablations.items()
    ]
    others = [MethodChoice(other, part=other) for other in beside if other != name]
    return (MethodChoice(name, part=name), *dropped, *declared, *others)
