"""From what is asked and what is installed to one record: every name looked up, every value coerced."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kdharness.api.declarations import ModelSpec
from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec, ViewSpec
from kdharness.errors import UnknownName, UserError
from kdharness.planning.asked import NO_LAYERS, Asked
from kdharness.planning.catalogue import Catalogue, catalogue
from kdharness.planning.choices import ChosenMethod, ablated_of, resolve_choices, scenarios_of_methods
from kdharness.planning.claims import resolve_claim
from kdharness.planning.combinations import combinations_of, known_methods, with_layers_of_parts
from kdharness.planning.contradictions import check_recipes
from kdharness.planning.datasets import KnownDataset, dataset_warning, describe_dataset
from kdharness.planning.declared import faults_of_metrics, lacks_proof, proved
from kdharness.planning.networks import Networks, resolve_networks
from kdharness.planning.optimizers import KnownOptimizers, know_optimizers
from kdharness.planning.qualified import settled
from kdharness.planning.recipes import Recipes
from kdharness.planning.scenarios import resolve_scenarios
from kdharness.planning.seeding import Seeding, Spread
from kdharness.planning.selection import MethodChoice
from kdharness.planning.teacher_files import TeacherFile
from kdharness.planning.teacher_outputs import check_tables
from kdharness.planning.tracks import unknown_models
from kdharness.protocol.benchmark import EvaluationRule
from kdharness.protocol.claim import Claim
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.track import PUBLISHED
from kdharness.protocol.variant import Layer, called, set_up_plain, setting

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry
from kdharness.registry.stamp import OWN
from kdharness.text import joined


@dataclass(frozen=True)
class Resolved:
    """All that a plan is made from.

    benchmark: the benchmark's name.
    methods: everything installed, for methods may require any of it.
    models: likewise.
    optimizers: likewise.
    views: likewise.
    datasets: by name.
    scenarios: definitions by name.
    pairs: those that run.
    seeds: those that run.
    chosen: the methods that run, in order.
    recipes: of all networks.
    networks: what is said of models beside that.
    own_pairs: the benchmark's.
    layers: what the benchmark says of methods, by method and pair.
    own_scenarios: the benchmark's, and those that methods bring with them.
    evaluation: when networks are measured.
    seeding: what each student seed draws anew.
    spread: which students are trained under other teachers besides.
    files: teachers' weights, by model name.
    metrics: names of those to compute.
    claims: for reports, as are the next three.
    references: the methods that gains are measured against.
    summary: the benchmark's line for listings.
    note: its sentence above tables.
    warnings: one line each.
    """

    benchmark: str
    methods: Catalogue[MethodSpec]
    models: Catalogue[ModelSpec]
    optimizers: KnownOptimizers
    views: Catalogue[ViewSpec]
    datasets: Mapping[str, KnownDataset]
    scenarios: Mapping[str, Scenario]
    pairs: tuple[Pair, ...]
    seeds: tuple[int, ...]
    chosen: tuple[ChosenMethod, ...]
    recipes: Recipes
    own_pairs: tuple[Pair, ...]
    own_scenarios: tuple[str, ...]
    evaluation: EvaluationRule = field(default_factory=EvaluationRule)
    layers: Mapping[str, Mapping[Pair | None, Layer]] = field(default_factory=dict)
    networks: Networks = field(default_factory=Networks)
    seeding: Seeding = field(default_factory=Seeding)
    spread: Spread = field(default_factory=Spread)
    files: Mapping[str, TeacherFile] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    references: tuple[str, ...] = ()
    summary: str = ""
    note: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def ablated(self) -> str:
        """The method whose parts are compared, '' for none."""
        return ablated_of(self.chosen)


def resolve(asked: Asked, registry: Registry) -> Resolved:
    """UserError for names that nobody provides, wrong values, and data that is not there."""
    asked = settled(asked, registry)
    of_recipes = (*check_recipes(asked.recipes, asked.model_names), *asked.recipes.warnings)
    choices, metrics = _choices(asked, registry), _metrics(asked, registry)
    unprovided = _unprovided(asked, registry)
    _check_names(asked, choices, metrics, registry)
    combinations = combinations_of(asked, choices)
    asked = replace(asked, layers=with_layers_of_parts(asked.layers, combinations))
    methods, models = known_methods(registry, combinations), catalogue("model", registry)
    needed = {choice.name: methods.by_name[choice.name].spec.factory.needs_scenario for choice in choices}
    scenarios = resolve_scenarios(asked, needed)
    of_names = (*_clashing(asked, registry), *_unproved(choices, methods), *_unknown(asked, choices, methods, registry))
    check_tables(asked.recipes, asked.model_names, catalogue("view", registry), scenarios.by_name)
    runs_in = scenarios_of_methods(choices, scenarios, asked)
    chosen = resolve_choices(choices, runs_in, asked, methods)
    claims = _claims(asked, methods, registry)
    settings = {name: each for name, each in asked.settings.items() if name not in {*needed, *asked.datasets.names}}
    known = _known_datasets(asked, registry)
    of_data = [dataset_warning(name, line) for name, dataset in known.items() for line in dataset.info.warnings]
    faults = faults_of_metrics(registry.get("metric", name).spec for name in metrics)
    return Resolved(
        benchmark=asked.benchmark,
        methods=methods,
        models=models,
        optimizers=know_optimizers(catalogue("optimizer", registry), asked.optimizers, asked.place, settings),
        views=catalogue("view", registry),
        datasets=known,
        scenarios=scenarios.by_name,
        pairs=asked.pairs,
        seeds=asked.seeds,
        chosen=chosen,
        recipes=asked.recipes,
        networks=resolve_networks(asked.models, asked.place, asked.settings, asked.model_names, models, asked.data),
        own_pairs=asked.own_pairs,
        own_scenarios=tuple(scenarios.by_name) if asked.brings_scenarios else asked.own_scenarios,
        evaluation=asked.evaluation,
        layers=asked.layers,
        seeding=asked.seeding,
        spread=asked.spread,
        files=asked.files,
        metrics=metrics,
        claims=claims,
        references=asked.references,
        summary=asked.summary,
        # It speaks of the benchmark's data, and heads no report on other data alone.
        note=asked.note if set(asked.own_datasets) & set(asked.datasets.names) else "",
        warnings=(*of_names, *runs_in.warnings, *of_recipes, *of_data, *unprovided, *faults),
    )


def _claims(asked: Asked, methods: Catalogue[MethodSpec], registry: Registry) -> tuple[Claim, ...]:
    """The claims, with the variants that their sides name."""
    sides = {
        side.text: called(
            side.text,
            side.method,
            methods.by_name[side.method].spec,
            asked.layers.get(side.method, NO_LAYERS)[None],
            side.place,
        )
        for side in asked.sides
    }
    metrics = [registered.spec for registered in registry.metrics.values()]
    return tuple(resolve_claim(claim, sides, metrics) for _, claim in asked.claims)


def _known_datasets(asked: Asked, registry: Registry) -> dict[str, KnownDataset]:
    """What is known of the data before it is loaded, by name."""
    installed = catalogue("dataset", registry).by_name
    setups = {
        name: set_up_plain(installed[name].spec, asked.tables.get(name, {}), asked.place, asked.settings.get(name, {}))
        for name in asked.datasets.names
    }
    return {
        name: describe_dataset(installed[name], setup, asked.data, name in asked.own_datasets)
        for name, setup in setups.items()
    }


# -- names -------------------------------------------------------------------------------------------------------------


def _choices(asked: Asked, registry: Registry) -> tuple[MethodChoice, ...]:
    """What is to run: plain methods, then the benchmark's variants of them."""
    if asked.choices is not None:
        return asked.choices
    names = [n for name in asked.methods.names for n in (proved(registry.methods) if name == "all" else [name])]
    for name in asked.skip:
        registry.get("method", name, "--skip")
    kept = [name for name in dict.fromkeys(names) if name not in asked.skip]
    if not kept:
        raise UserError("no method is left: " + ("--skip takes them all away" if names else "--methods names none"))
    return (*map(MethodChoice, kept), *(variant for variant in asked.variants if variant.name in kept))


def _metrics(asked: Asked, registry: Registry) -> tuple[str, ...]:
    """The metrics named, each once. "all" stands for all but those on request.

    UserError where a name of the built-in ones is claimed twice: tables would lack that number, and ranks with it.
    """
    usual = [name for name, metric in registry.metrics.items() if not metric.spec.on_request]
    for (kind, name), sources in registry.clashes.items():
        if kind == "metric" and "all" in asked.metrics and any(source.distribution == OWN for source in sources):
            registry.get(kind, name, asked.place)  # raises
    named = tuple(dict.fromkeys(n for name in asked.metrics for n in (usual if name == "all" else [name])))
    if not named:
        raise UserError(f"no metric is left: metrics of {asked.place} names none")
    return named


def _named(asked: Asked, metrics: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """Kind, name and place of all that must be installed."""
    for name in asked.methods.names if asked.choices is None else ():
        if name != "all":
            yield "method", name, asked.methods.place
    for choice in (*(asked.choices or ()), *asked.variants):
        yield "method", choice.name, choice.place
    for name in asked.spread.methods:
        yield "method", name, f"{asked.place}, teacher_spread"
    for name in asked.datasets.names:
        yield "dataset", name, asked.datasets.place
    for pair in asked.pairs:
        for model in (*pair.teachers, pair.student):
            yield "model", model, asked.pairs_place
    for kind, of_recipe in (("optimizer", "optimizer"), ("view", "augmentation")):
        for name, place in asked.recipes.named(of_recipe):
            yield kind, name, place
    for name in metrics:
        yield "metric", name, asked.place
    for where, claim in asked.claims:
        if claim.dataset is not None:
            yield "dataset", claim.dataset, where
    for side in asked.sides:
        yield "method", side.method, side.place


def _check_names(asked: Asked, choices: tuple[MethodChoice, ...], metrics: tuple[str, ...], registry: Registry) -> None:
    """UserError for a name that nobody provides, and for a setting of what does not run."""
    for kind, name, place in _named(asked, metrics):
        registry.get(kind, name, place)
    running = {*(choice.name for choice in choices), *asked.datasets.names, *asked.model_names}
    for owner, changes in asked.settings.items():
        if owner in running:
            continue
        key = next(iter(changes))
        where = setting(owner, key)
        if owner in registry.known("optimizer"):
            continue  # the plan says which cells use it
        for kind in ("method", "dataset", "model"):
            if owner in registry.known(kind):
                part = _as_part(owner, key, running)
                raise UserError(f"{where}: {kind} '{owner}' is not among those that run{part}")
        known = {*running, *registry.known("optimizer"), "recipe", "student"}
        raise UnknownName("method, dataset, model, optimizer, 'recipe' or 'student'", owner, known, where)


def _as_part(method: str, key: str, running: Collection[str]) -> str:
    """How to speak of a method that runs as a part of others; "" where it does not."""
    whole = next((name for name in sorted(running) if method in joined(name)), "")
    return f"; as a part: {setting(f'{whole}.{method}', key)}" if whole else ""


# -- warnings ----------------------------------------------------------------------------------------------------------


def _clashing(asked: Asked, registry: Registry) -> list[str]:
    """A line for each method that "all" leaves out because two plugins claim its name."""
    if asked.choices is not None or "all" not in asked.methods.names:
        return []
    return [
        f"method '{name}' is claimed by two plugins and left out; see kdharness list plugins"
        for kind, name in registry.clashes
        if kind == "method"
    ]


def _unproved(choices: tuple[MethodChoice, ...], methods: Catalogue[MethodSpec]) -> list[str]:
    """A line for each method that runs because it was named, and is not proved."""
    names = dict.fromkeys(choice.name for choice in choices)
    lacking = {name: lacks_proof(methods.by_name[name].spec) for name in names}
    return [f"method '{name}' is unproved, and no part of 'all': {lack}" for name, lack in lacking.items() if lack]


def _unknown(
    asked: Asked, choices: tuple[MethodChoice, ...], methods: Catalogue[MethodSpec], registry: Registry
) -> list[str]:
    """A line for each model that nobody provides, of pairs that methods have published parameters for."""
    names = dict.fromkeys(choice.name for choice in choices) if PUBLISHED in asked.tracks else ()
    return [line for name in names for line in unknown_models(methods.by_name[name], registry.known("model"))]


def _unprovided(asked: Asked, registry: Registry) -> list[str]:
    """Lines on what the benchmark says of names that nobody provides: mistyped, or of a plugin that is not there."""
    return [
        str(UnknownName(kind, name, registry.known(kind), asked.place, registry.elsewhere(kind, name)))
        for kind, names in asked.mentioned.items()
        for name in dict.fromkeys(part for each in names for part in (joined(each) if kind == "method" else [each]))
        if name not in registry.known(kind) and (kind, name) not in registry.clashes
    ]
