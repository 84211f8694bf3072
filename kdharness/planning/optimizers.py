"""Optimisers as a plan knows them: their parameters, what of them enters keys, and which ones a method trains with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdharness.api.requirements import Pair
from kdharness.api.specs import OptimizerSpec
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.planning.catalogue import Catalogue
from kdharness.planning.neutral import key_part
from kdharness.protocol.variant import Setup, commanded, set_up_plain, shown

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method


@dataclass(frozen=True)
class KnownOptimizers:
    """All installed optimisers.

    catalogue: by name.
    setups: their parameters, by name.
    """

    catalogue: Catalogue[OptimizerSpec]
    setups: Mapping[str, Setup]

    def document(self, names: Iterable[str]) -> dict[str, Any]:
        """What of these optimisers enters a cell's identity. UserError for one that there is not."""
        found = {}
        for name in sorted(set(map(self.catalogue.name_of, names))):
            installed = self.catalogue.get(name)
            parameters = key_part(self.setups[name].values, installed.spec.parameters)
            found[name] = {"parameters": parameters, "plugin": dict(installed.stamp)}
        return found

    def changed(self) -> dict[str, dict[str, Any]]:
        """By name, those parameters that do not have their defaults: what makes two protocols differ."""
        found: dict[str, dict[str, Any]] = {}
        for name, setup in self.setups.items():
            usual = {p.name: p.canonical(p.default) for p in self.catalogue.get(name).spec.parameters}
            found[name] = {key: value for key, value in setup.values.items() if value != usual[key]}
        return {name: values for name, values in found.items() if values}

    def deviations(self, names: Iterable[str]) -> list[str]:
        """How those of these names depart from the benchmark, as text."""
        return [
            f"{name}.{key}={shown(given.value)}"
            for name in sorted(names)
            for key, given in self.setups[name].parameters.items()
            if given.value != self.setups[name].own[key].value
        ]

    def check_used(self, names: Iterable[str]) -> None:
        """UserError where the command line sets a parameter of an optimiser that is none of these."""
        used = sorted(set(names))
        for name, setup in self.setups.items():
            places = [given.place for given in setup.parameters.values() if commanded(given.place)]
            if places and name not in used:
                raise UserError(f"{places[0]}: no cell trains with optimizer '{name}' (they use {', '.join(used)})")


def know_optimizers(
    optimizers: Catalogue[OptimizerSpec],
    tables: Mapping[str, Mapping[str, Any]],
    place: str,
    settings: Mapping[str, Mapping[str, str]],
) -> KnownOptimizers:
    """tables: what the benchmark, at `place`, says of each; settings: what --set says. UserError for parameters that
    an optimiser has not.
    """
    return KnownOptimizers(
        optimizers,
        {
            name: set_up_plain(installed.spec, tables.get(name, {}), place, settings.get(name, {}))
            for name, installed in optimizers.by_name.items()
        },
    )


def optimizers_of(method: Method, pair: Pair) -> tuple[str, ...]:
    """The optimisers that a method names: those it declares, and those of phases that it can tell before it is built.

    What `phases` raises does not count: it may rest on what `build` makes.
    """
    found = attempt(lambda: tuple(_of_phases(method.phases())))
    return tuple(dict.fromkeys((*method.optimizers(pair), *(() if isinstance(found, Failure) else found))))


def _of_phases(phases: Iterable[Any]) -> Iterator[str]:
    for phase in phases:
        for changes in (phase.recipe, *(player.optimizer for player in phase.players)):
            if "optimizer" in changes:
                yield str(changes["optimizer"])
