"""What is asked: a benchmark and a command as one record, whatever is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdharness.api.requirements import Pair
from kdharness.errors import UnknownName, UserError
from kdharness.planning.model_recipes import network_part
from kdharness.planning.recipe_axis import AxisChanges, with_recipe_axis
from kdharness.planning.recipe_choice import recipe_deviation, under_recipe
from kdharness.planning.recipes import Recipes, resolve_recipes
from kdharness.planning.seeding import Seeding, Spread, resolve_seeding, resolve_spread
from kdharness.planning.selection import MethodChoice, Selection, Settings, parse_settings
from kdharness.planning.teacher_files import TeacherFile, teacher_files
from kdharness.protocol.benchmark import Benchmark, EvaluationRule
from kdharness.protocol.claim import Claim
from kdharness.protocol.pair import parse_pair
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.track import TRACKS
from kdharness.protocol.variant import Layer, flattened


@dataclass(frozen=True)
class Names:
    """Names of one kind, and the place that they come from."""

    names: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class DataPlace:
    """The folder of all data, and whether what is not there may be downloaded."""

    root: Path
    download: bool = False


@dataclass(frozen=True)
class Side:
    """What a claim compares: "byot[alpha=0]" as it is written, its method, and the claim's place."""

    text: str
    method: str
    place: str


# Of a method that the benchmark says nothing of.
NO_LAYERS: Mapping[Pair | None, Layer] = {None: Layer({}, None, "")}


@dataclass(frozen=True)
class Asked:
    """A run, by names.

    benchmark: the benchmark's name.
    place: the benchmark, as errors call it.
    methods: those named; "all" stands for all that are installed.
    skip: methods of --skip.
    choices: what runs in place of `methods`, if given.
    variants: run beside the plain methods.
    datasets: those that run.
    own_datasets: the benchmark's.
    pairs: those that run.
    pairs_place: where they come from.
    own_pairs: the benchmark's.
    scenarios: those that run.
    own_scenarios: the benchmark's.
    brings_scenarios: whether methods bring those that they need.
    defined: the scenarios that the benchmark defines, by name.
    seeds: of students.
    seeding: what each of them draws anew.
    tracks: by which parameters methods run, in order.
    spread: which of them are trained under other teachers besides.
    evaluation: when networks are measured.
    settings: of --set, but for the recipe.
    layers: what the benchmark says of methods, by method and pair.
    tables: what it says of datasets.
    models: what it says of models beside their recipes.
    model_names: the models that --set may speak of.
    optimizers: what it says of optimisers.
    data: where the data is.
    files: teachers' weights, by model name.
    metrics: those named; "all" stands for all that are installed.
    claims: each with its place.
    sides: what the claims compare.
    references: the methods that gains are measured against.
    mentioned: by kind, names that the benchmark speaks of and need not have.
    summary: the benchmark's line for listings.
    note: its sentence above tables.
    recipes: of all networks, but for what --set says of models.
    """

    benchmark: str
    place: str
    methods: Names
    skip: tuple[str, ...]
    choices: tuple[MethodChoice, ...] | None
    variants: tuple[MethodChoice, ...]
    datasets: Names
    own_datasets: tuple[str, ...]
    pairs: tuple[Pair, ...]
    pairs_place: str
    own_pairs: tuple[Pair, ...]
    scenarios: Names
    own_scenarios: tuple[str, ...]
    brings_scenarios: bool
    defined: Mapping[str, Scenario]
    seeds: tuple[int, ...]
    seeding: Seeding
    tracks: tuple[str, ...]
    spread: Spread
    evaluation: EvaluationRule
    settings: Settings
    layers: Mapping[str, Mapping[Pair | None, Layer]]
    tables: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]
    model_names: tuple[str, ...]
    optimizers: Mapping[str, Mapping[str, Any]]
    data: DataPlace
    files: Mapping[str, TeacherFile]
    metrics: tuple[str, ...]
    claims: tuple[tuple[str, Claim], ...]
    sides: tuple[Side, ...]
    references: tuple[str, ...]
    mentioned: Mapping[str, tuple[str, ...]]
    summary: str
    note: str
    recipes: Recipes


def ask(benchmark: Benchmark, selection: Selection) -> Asked:
    """UserError for what is no setting, no recipe field or no pair, for files that cannot be read, and for an axis
    that is left empty.
    """
    taken: tuple[str, ...] = ()
    if selection.recipe:
        taken = recipe_deviation(benchmark, selection.recipe)
        benchmark = under_recipe(benchmark, selection.recipe)
    settings = parse_settings(selection.settings)
    recipes = _recipes(benchmark, selection, settings.pop("recipe", {}), settings.pop("student", {}))
    seeding = resolve_seeding(benchmark, selection.teacher_seeds, selection.scenario_seeds)
    place = benchmark.place
    pairs = benchmark.pairs if selection.pairs is None else _given_pairs(selection.pairs)
    model_names = (*benchmark.models, *(name for pair in pairs for name in (*pair.teachers, pair.student)))
    claims = _claims(benchmark)
    return Asked(
        benchmark=benchmark.name,
        place=place,
        methods=Names(benchmark.run, place) if selection.methods is None else Names(selection.methods, "--methods"),
        skip=selection.skip,
        choices=selection.choices,
        variants=_variants(benchmark) if selection.choices is None else (),
        datasets=_axis("dataset", selection.datasets, benchmark.datasets, place),
        own_datasets=benchmark.datasets,
        pairs=pairs,
        pairs_place=place if selection.pairs is None else "--pairs",
        own_pairs=benchmark.pairs,
        scenarios=_axis("scenario", selection.scenarios, benchmark.scenarios, place),
        own_scenarios=benchmark.scenarios,
        brings_scenarios=selection.scenarios is None,
        defined=benchmark.scenario,
        seeds=benchmark.seeds if selection.seeds is None else selection.seeds,
        seeding=seeding,
        tracks=_tracks(benchmark, selection),
        spread=resolve_spread(benchmark, selection.teacher_spread),
        evaluation=benchmark.evaluation,
        settings=settings,
        layers=benchmark.layers,
        tables=benchmark.dataset,
        models={name: network_part(table) for name, table in benchmark.models.items()},
        model_names=model_names,
        optimizers=benchmark.optimizers,
        data=DataPlace(selection.data_root, selection.download),
        files=teacher_files(selection.teachers, {teacher for pair in pairs for teacher in pair.teachers}, seeding),
        metrics=benchmark.metrics,
        claims=claims,
        sides=tuple(_side(text, where) for where, claim in claims for text in (claim.better, claim.than)),
        references=benchmark.references,
        mentioned={
            "method": (*benchmark.methods, *benchmark.references),
            "model": tuple(benchmark.models),
            "dataset": tuple(benchmark.dataset),
            "optimizer": tuple(benchmark.optimizers),
        },
        summary=benchmark.summary,
        note=benchmark.note,
        recipes=replace(recipes, deviations=(*taken, *recipes.deviations)),
    )


def _tracks(benchmark: Benchmark, selection: Selection) -> tuple[str, ...]:
    """UserError for what is no track."""
    chosen = benchmark.track if selection.track is None else selection.track
    if chosen not in TRACKS:
        raise UnknownName("track", chosen, TRACKS, "--track")
    return TRACKS[chosen]


def _recipes(
    benchmark: Benchmark, selection: Selection, everyone: Mapping[str, str], students: Mapping[str, str]
) -> Recipes:
    """everyone: of --set recipe.…; students: of --set student.…."""
    given = frozenset([*everyone, *(["epochs"] if selection.epochs is not None else [])])
    recipes = resolve_recipes(benchmark, everyone, selection.epochs)
    return with_recipe_axis(recipes, benchmark, AxisChanges(selection.recipes, students, given))


def _claims(benchmark: Benchmark) -> tuple[tuple[str, Claim], ...]:
    """Each with its place."""
    claims = tuple((f"{benchmark.place}, claim {n}", claim) for n, claim in enumerate(benchmark.claims, 1))
    for where, claim in claims:
        if claim.recipe is not None and claim.recipe not in benchmark.recipe_tables:
            raise UnknownName("recipe", claim.recipe, benchmark.recipe_tables, where)
    return claims


def _variants(benchmark: Benchmark) -> tuple[MethodChoice, ...]:
    place = f"{benchmark.place}, variants"
    each = ((v, flattened(v.method, v.parameters)) for v in benchmark.variants)
    return tuple(MethodChoice(v.method, parameters, v.without, place) for v, parameters in each)


def _side(text: str, place: str) -> Side:
    return Side(text, text.partition("[")[0].strip(), place)


def _axis(kind: str, given: tuple[str, ...] | None, own: tuple[str, ...], place: str) -> Names:
    """The command's names, or the benchmark's; each once."""
    names = own if given is None else given
    if not names:
        raise UserError(f"no {kind} is left: --{kind}s names none")
    return Names(tuple(dict.fromkeys(names)), place if given is None else f"--{kind}s")


def _given_pairs(texts: tuple[str, ...]) -> tuple[Pair, ...]:
    """The pairs of --pairs, each once."""
    try:
        pairs = tuple(dict.fromkeys(parse_pair(text) for text in texts))
    except ValueError as error:
        raise UserError(f"--pairs: {error}") from None
    if not pairs:
        raise UserError("no pair is left: --pairs names none")
    return pairs
