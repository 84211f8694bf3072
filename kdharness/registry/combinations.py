"""Methods that are trained as one: "crd+kd" is made from what is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.registry.source import Registered
from kdharness.text import JOIN


def combined(parts: Mapping[str, Registered[MethodSpec]], where: str) -> Registered[MethodSpec]:
    """The methods as one, in their order, with the first one's source. UserError for those that cannot be."""
    specs = {name: registered.spec for name, registered in parts.items()}
    spec = _spec(JOIN.join(parts), specs)
    if fault := _fault(specs):
        raise UserError(f"method '{spec.name}'{f' ({where})' if where else ''}: {fault}")
    return Registered(spec, next(iter(parts.values())).source, dict(parts))


def _spec(name: str, specs: Mapping[str, MethodSpec]) -> MethodSpec:
    from kdharness.api.combination import Combination  # here, for it loads torch

    lacking = {part: spec.factory.unproved for part, spec in specs.items() if spec.factory.unproved}
    about = {
        "name": name,
        "specs": dict(specs),
        "unproved": "; ".join(f"{part}: {text}" for part, text in lacking.items()),
    }
    return MethodSpec(
        name=name,
        factory=type("Combined", (Combination,), about),
        summary=f"{' and '.join(specs)} together",
        paper="",
        parameters=tuple(replace(p, name=f"{part}.{p.name}") for part, spec in specs.items() for p in spec.parameters),
    )


def _fault(specs: Mapping[str, MethodSpec]) -> str:
    """What stands against it with the parts' defaults; "" where some part cannot be made: its cells say why."""
    from kdharness.api.combination import fault_of

    made = attempt(lambda: fault_of({name: spec.factory() for name, spec in specs.items()}))
    return "" if isinstance(made, Failure) else made
