"""The methods that run: in which scenarios, and with which parameters for each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError, unknown
from kdharness.planning.selection import MethodChoice, Selection, Settings
from kdharness.protocol.benchmark import Benchmark
from kdharness.protocol.scenario import Scenario, find_scenario
from kdharness.protocol.variant import (
    COMMAND,
    Value,
    Variant,
    check_without,
    coerced,
    commanded,
    completed,
    lacking,
    made,
    parts,
    plain,
    setting,
    unknown_term,
    variant_text,
)

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry


@dataclass(frozen=True)
class Setup:
    """A method's parameters for one pair.

    parameters: all that run. own: all as the benchmark has them, against which variants are named.
    without: the loss terms left out, in order of names, each with the place that leaves it out.
    """

    parameters: Mapping[str, Value]
    own: Mapping[str, Value]
    without: Mapping[str, str] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, Any]:
        """The parameters, JSON-valued."""
        return plain(self.parameters)

    @property
    def variant(self) -> str:
        """What is not the benchmark's own, as text; '' for nothing."""
        return variant_text(self.values, plain(self.own), tuple(self.without))

    @property
    def is_commanded(self) -> bool:
        """Whether the command line has a say in it."""
        return any(map(commanded, (*(given.place for given in self.parameters.values()), *self.without.values())))


@dataclass(frozen=True)
class ChosenMethod:
    """A method, or a variant of one, with where it runs.

    setups: by pair; a pair is missing where an ablation drops a term that the method has not for that pair.
    scenarios: names. part: what an ablation calls it, '' outside one.
    """

    name: str
    setups: Mapping[Pair, Setup]
    scenarios: tuple[str, ...]
    part: str = ""


# -- which -------------------------------------------------------------------------------------------------------------


def asked_methods(benchmark: Benchmark, selection: Selection, registry: Registry) -> tuple[MethodChoice, ...]:
    """What is to run: plain methods, then the benchmark's variants of them. UserError for names nobody provides."""
    if selection.choices is not None:
        return selection.choices
    given = selection.methods is not None
    names: list[str] = []
    for name in _named(benchmark, selection):
        if name == "all":
            names += registry.methods
        else:
            registry.get("method", name, "--methods" if given else benchmark.place)
            names.append(name)
    for name in selection.skip:
        if name not in registry.methods:
            raise unknown("method", name, registry.methods, "--skip")
    kept = [name for name in dict.fromkeys(names) if name not in selection.skip]
    if not kept:
        raise UserError("no method is left: " + ("--skip takes them all away" if names else "--methods names none"))
    variants = [_variant(variant, benchmark, registry) for variant in benchmark.variants]
    return (*map(MethodChoice, kept), *(variant for variant in variants if variant.name in kept))


def _variant(variant: Variant, benchmark: Benchmark, registry: Registry) -> MethodChoice:
    """UserError where it names what its method lacks, whether it is to run or not."""
    place = f"{benchmark.place}, variants"
    spec: MethodSpec = registry.get("method", variant.method, place).spec
    coerced(spec, variant.parameters, place)
    check_without(spec, variant.without, place)
    return MethodChoice(variant.method, variant.parameters, variant.without, place)


def clashing_methods(benchmark: Benchmark, selection: Selection, registry: Registry) -> list[str]:
    """A line for each method that "all" leaves out because two plugins claim its name."""
    if selection.choices is not None or "all" not in _named(benchmark, selection):
        return []
    return [
        f"method '{name}' is claimed by two plugins and left out; see kdharness list plugins"
        for kind, name in registry.clashes
        if kind == "method"
    ]


def _named(benchmark: Benchmark, selection: Selection) -> tuple[str, ...]:
    return benchmark.run if selection.methods is None else selection.methods


def ablated_of(choices: Iterable[MethodChoice | ChosenMethod]) -> str:
    """The method whose parts are compared, '' for none."""
    return next((choice.name for choice in choices if choice.part == choice.name), "")


# -- where -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placement:
    """Which method runs in which scenarios.

    scenarios: all that run, by name. of_method: by method, the names of its own. warnings: one line each.
    """

    scenarios: Mapping[str, Scenario]
    of_method: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]


def place_methods(
    choices: Sequence[MethodChoice], benchmark: Benchmark, selection: Selection, registry: Registry
) -> Placement:
    """The scenarios asked for, and those that methods bring with them where none was asked for.

    A method runs in those of the kind that it needs. A scenario that a method brings is for those that need its kind,
    and for the references beside them. In an ablation, all are compared where the ablated method runs.
    """
    needs, warnings = _needs(choices, benchmark, registry)
    scenarios = _asked_scenarios(benchmark, selection, needs)
    fits = {method: _of_kind(needed, scenarios, benchmark) for method, needed in needs.items()}
    ablated, asked = ablated_of(choices), selection.scenarios or benchmark.scenarios
    found: dict[str, tuple[str, ...]] = {}
    for method, names in fits.items():
        if ablated:
            found[method] = tuple(name for name in names if name in fits[ablated])
        else:
            everywhere = needs[method] is not None or method in benchmark.references
            found[method] = tuple(name for name in names if everywhere or name in asked)
        if not names:
            line = f"method '{method}' is left out: it needs a scenario like '{needs[method]}' (--scenarios)"
            warnings.append(line)
    apart = [method for method, names in found.items() if ablated and method != ablated and not names]
    warnings += [f"method '{method}' is left out: it has no scenario in common with '{ablated}'" for method in apart]
    return Placement(scenarios, found, tuple(warnings))


def _needs(
    choices: Sequence[MethodChoice], benchmark: Benchmark, registry: Registry
) -> tuple[dict[str, str | None], list[str]]:
    """By method, the scenario that it needs, None for none; and a line for each that there is not."""
    needs: dict[str, str | None] = {}
    warnings = []
    for method in dict.fromkeys(choice.name for choice in choices):
        try:
            needs[method] = _needed_scenario(method, benchmark, registry)
        except UserError as error:
            needs[method] = None
            warnings.append(f"method '{method}' does not get the scenario that it needs: {error}")
    return needs, warnings


def _needed_scenario(method: str, benchmark: Benchmark, registry: Registry) -> str | None:
    """The benchmark's own of the kind that the method names, else the one that the method names."""
    needed: str | None = registry.get("method", method).spec.factory.needs_scenario
    if needed is None:
        return None
    kind = find_scenario(needed, benchmark.scenario, "needs_scenario").kind
    for name in (*benchmark.scenarios, *benchmark.scenario):
        if find_scenario(name, benchmark.scenario, benchmark.place).kind == kind:
            return name
    return needed


def _asked_scenarios(
    benchmark: Benchmark, selection: Selection, needs: Mapping[str, str | None]
) -> dict[str, Scenario]:
    chosen = selection.scenarios
    names = benchmark.scenarios if chosen is None else chosen
    if not names:
        raise UserError("no scenario is left: --scenarios names none")
    where = benchmark.place if chosen is None else "--scenarios"
    brought = [needed for needed in needs.values() if needed is not None and chosen is None]
    return {name: find_scenario(name, benchmark.scenario, where) for name in (*names, *brought)}


def _of_kind(needed: str | None, scenarios: Mapping[str, Scenario], benchmark: Benchmark) -> list[str]:
    """The scenarios like the needed one; all where none is needed."""
    if needed is None:
        return list(scenarios)
    kind = find_scenario(needed, benchmark.scenario).kind
    return [name for name, scenario in scenarios.items() if scenario.kind == kind]


# -- with what ---------------------------------------------------------------------------------------------------------


def resolve_choices(
    choices: Sequence[MethodChoice],
    placement: Placement,
    pairs: Sequence[Pair],
    benchmark: Benchmark,
    settings: Settings,
    registry: Registry,
) -> tuple[ChosenMethod, ...]:
    """The choices with all their parameters. UserError for parameters and loss terms that a method does not have."""
    found = []
    for choice in choices:
        spec: MethodSpec = registry.get("method", choice.name).spec
        given = settings.get(choice.name, {})
        setups = {pair: _setup(choice, spec, pair, benchmark, given) for pair in pairs}
        kept = {pair: setup for pair, setup in setups.items() if setup is not None}
        found.append(ChosenMethod(choice.name, kept, placement.of_method[choice.name], choice.part))
    return tuple(found)


def _setup(
    choice: MethodChoice, spec: MethodSpec, pair: Pair, benchmark: Benchmark, settings: Mapping[str, str]
) -> Setup | None:
    """None where an ablation drops a term that there is not. settings: of --set for the method."""
    table, asked = benchmark.parameters_of(spec.name, pair), dict(settings)
    without = dict.fromkeys(parts(table.pop("without", ())), benchmark.place)
    if "without" in asked:
        without = dict.fromkeys(parts(asked.pop("without")), setting(spec.name, "without"))
    without |= dict.fromkeys(choice.without, choice.place)
    own, changes = completed(spec, table, benchmark.place), coerced(spec, choice.parameters, choice.place)
    # What tells a variant from the plain method outweighs --set, or the two would be one.
    setup = Setup({**own, **coerced(spec, asked, COMMAND), **changes}, own, dict(sorted(without.items())))
    return setup if _has_terms(choice, spec, setup, {**own, **changes}) else None


def _has_terms(choice: MethodChoice, spec: MethodSpec, setup: Setup, declared: Mapping[str, Value]) -> bool:
    """Whether there is such a part to leave out, where an ablation asks for it.

    declared: the parameters but for --set. UserError for a term that is not there, unless it is only --set that takes
    it away: then the cell is skipped, with that reason.
    """
    terms = declared_terms(spec, setup.parameters)
    for term in lacking(terms, tuple(setup.without)):
        if choice.part and term in choice.without:
            return False
        place = setup.without[term]
        known = terms if commanded(place) else declared_terms(spec, declared)
        if lacking(known, [term]):
            raise unknown_term(spec, term, known, place)
    return True


def declared_terms(spec: MethodSpec, parameters: Mapping[str, Value]) -> Mapping[str, str]:
    """The loss terms that a method declares with these parameters; none where it cannot be made."""
    try:
        return dict(made(spec, plain(parameters)).terms)
    except Exception:  # noqa: BLE001 - a plugin may raise anything; its cells are skipped with what it raised
        return {}
