"""Ablation: a method, what it is without each of its parts, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from kdharness.api.method import Method
from kdharness.planning.axes import Axes
from kdharness.planning.selection import MethodChoice
from kdharness.protocol.variant import coerced, made


def declared_terms(axes: Axes, method: str) -> tuple[str, ...]:
    """The loss terms that a method declares with the parameters that run, for whatever pair; () for none.

    Terms that it is without anyway are not among them.
    """
    spec = axes.registry.get("method", method).spec
    found: dict[str, None] = {}
    for pair in axes.pairs:
        given, without = axes.asked_of(MethodChoice(method), pair)
        parameters = coerced(f"method '{method}'", spec.parameters, given)
        try:
            terms = made(spec, parameters).terms
        except Exception:  # noqa: BLE001 - a plugin may raise anything; the plan skips its cells and says why
            continue
        found.update(dict.fromkeys(term for term in terms if term not in without))
    return tuple(found)


def ablation_choices(method: type[Method], terms: Sequence[str], beside: Sequence[str]) -> tuple[MethodChoice, ...]:
    """The whole method first, it without each of `terms`, its declared ablations, and the other methods named."""
    name = method.name
    dropped = [MethodChoice(name, without=(term,), part=f"{name} without {term}") for term in terms]
    declared = [
        MethodChoice(name, dict(parameters), part=f"{name}[{label}]") for label, parameters in method.ablations.items()
    ]
    others = [MethodChoice(other, part=other) for other in beside if other != name]
    return (MethodChoice(name, part=name), *dropped, *declared, *others)
