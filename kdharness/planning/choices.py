"""The methods that run: in which scenarios, and with which parameters for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec
from kdharness.planning.asked import NO_LAYERS, Asked
from kdharness.planning.catalogue import Catalogue, Installed
from kdharness.planning.scenarios import Scenarios
from kdharness.planning.selection import MethodChoice
from kdharness.planning.tracks import chosen_by_pair, published_of
from kdharness.protocol.track import DEFAULT_TRACK, PUBLISHED
from kdharness.protocol.variant import COMMAND, Layer, Setup, check_variant, set_up


@dataclass(frozen=True)
class ChosenMethod:
    """A method or a variant of one, and where it runs.

    name: the method's.
    setups: by pair. A pair is missing where an ablation drops a term that the method has not for that pair.
    scenarios: names.
    part: what an ablation calls it; "" outside one.
    track: the one that it stands in.
    """

    name: str
    setups: Mapping[Pair, Setup]
    scenarios: tuple[str, ...]
    part: str = ""
    track: str = DEFAULT_TRACK


def ablated_of(choices: Iterable[MethodChoice | ChosenMethod]) -> str:
    """The method whose parts are compared, '' for none."""
    return next((choice.name for choice in choices if choice.part == choice.name), "")


# -- where -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MethodScenarios:
    """Which method runs in which scenarios.

    by_method: the scenarios' names, by the method's.
    warnings: one line each.
    """

    by_method: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]


def scenarios_of_methods(choices: Sequence[MethodChoice], scenarios: Scenarios, asked: Asked) -> MethodScenarios:
    """Which method runs in which scenarios.

    A method runs in those of the kind that it needs. A scenario that a method brings is for those that need its kind,
    and for the references beside them. In an ablation, all are compared where the ablated method runs.
    """
    needs, usual = scenarios.needs, asked.own_scenarios if asked.brings_scenarios else asked.scenarios.names
    fits = {method: _of_kind(needed, scenarios) for method, needed in needs.items()}
    ablated = ablated_of(choices)
    found: dict[str, tuple[str, ...]] = {}
    warnings = list(scenarios.warnings)
    for method, names in fits.items():
        if ablated:
            found[method] = tuple(name for name in names if name in fits[ablated])
        else:
            everywhere = needs[method] is not None or method in asked.references
            found[method] = tuple(name for name in names if everywhere or name in usual)
        if not names:
            line = f"method '{method}' is left out: it needs a scenario like '{needs[method]}' (--scenarios)"
            warnings.append(line)
    apart = [method for method, names in found.items() if ablated and method != ablated and not names]
    warnings += [f"method '{method}' is left out: it has no scenario in common with '{ablated}'" for method in apart]
    return MethodScenarios(found, tuple(warnings))


def _of_kind(needed: str | None, scenarios: Scenarios) -> list[str]:
    """The scenarios like the needed one; all where none is needed."""
    if needed is None:
        return list(scenarios.by_name)
    return [name for name, scenario in scenarios.by_name.items() if scenario.kind == scenarios.kinds[needed]]


# -- with what ---------------------------------------------------------------------------------------------------------


def resolve_choices(
    choices: Sequence[MethodChoice], runs_in: MethodScenarios, asked: Asked, methods: Catalogue[MethodSpec]
) -> tuple[ChosenMethod, ...]:
    """The choices with all their parameters, in every track. UserError for parameters and loss terms that a method does
    not have.
    """
    for variant in asked.variants:  # whether they run or not
        check_variant(methods.by_name[variant.name].spec, Layer(variant.parameters, variant.without, variant.place))
    return tuple(
        ChosenMethod(
            choice.name,
            _setups(choice, asked, methods.by_name[choice.name], track),
            runs_in.by_method[choice.name],
            choice.part,
            track,
        )
        for choice in choices
        for track in asked.tracks
    )


def _setups(choice: MethodChoice, asked: Asked, method: Installed[MethodSpec], track: str) -> dict[Pair, Setup]:
    """By pair. The references have one setting in all tracks: what is measured against them is theirs alone."""
    layers = asked.layers.get(choice.name, NO_LAYERS)
    command = Layer.of(asked.settings.get(choice.name, {}), COMMAND)
    own = Layer(choice.parameters, choice.without, choice.place)
    has_own = track == PUBLISHED and choice.name not in asked.references
    names = chosen_by_pair(method) if has_own else ()
    found = {}
    for pair in asked.pairs:
        published, fault = published_of(method, pair) if has_own else ({}, "")
        setup = set_up(method.spec, layers.get(pair, layers[None]), command, own, bool(choice.part), published)
        if setup is not None:
            by_pair = {} if fault else {name: value for name, value in setup.values.items() if name in names}
            found[pair] = replace(setup, fault=fault, by_pair=by_pair)
    return found
