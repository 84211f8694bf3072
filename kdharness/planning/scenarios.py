"""Every scenario that a run names, by its definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdharness.errors import UserError
from kdharness.planning.asked import Asked
from kdharness.protocol.scenario import Scenario, find_like, find_scenario


@dataclass(frozen=True)
class Scenarios:
    """The scenarios of a run.

    by_name: those that run.
    needs: by method, the scenario that it needs, or None.
    kinds: the kind of each needed scenario.
    warnings: a line for each that is not known.
    """

    by_name: Mapping[str, Scenario]
    needs: Mapping[str, str | None]
    kinds: Mapping[str, str]
    warnings: tuple[str, ...]


def resolve_scenarios(asked: Asked, needed: Mapping[str, str | None]) -> Scenarios:
    """The scenarios asked for, and those that methods bring with them where none was asked for.

    needed: by method, the scenario that it names. UserError for an unknown name; a method's only gives a warning.
    """
    needs: dict[str, str | None] = dict.fromkeys(needed)
    kinds: dict[str, str] = {}
    warnings = []
    for method, name in needed.items():
        if name is None:
            continue
        try:
            like, scenario = find_like(name, (*asked.own_scenarios, *asked.defined), asked.defined, asked.place)
        except UserError as error:
            warnings.append(f"method '{method}' does not get the scenario that it needs: {error}")
        else:
            needs[method], kinds[like] = like, scenario.kind
    brought = [name for name in needs.values() if name is not None and asked.brings_scenarios]
    named = (*asked.scenarios.names, *brought)
    by_name = {name: find_scenario(name, asked.defined, asked.scenarios.place) for name in named}
    for where, claim in asked.claims:
        if claim.scenario is not None:
            find_scenario(claim.scenario, asked.defined, where)
    return Scenarios(by_name, needs, kinds, tuple(warnings))
