"""From a benchmark, a command and what is installed to one record: every name looked up, every value coerced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

from kdharness.api.declarations import ModelSpec
from kdharness.api.requirements import Pair
from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError, unknown
from kdharness.planning.catalogue import Catalogue, catalogue
from kdharness.planning.choices import (
    ChosenMethod,
    ablated_of,
    asked_methods,
    clashing_methods,
    place_methods,
    resolve_choices,
)
from kdharness.planning.claims import resolve_claims
from kdharness.planning.datasets import KnownDataset, resolve_dataset
from kdharness.planning.recipes import Recipes, resolve_recipes
from kdharness.planning.selection import MethodChoice, Selection, Settings, parse_settings
from kdharness.protocol.benchmark import Benchmark, EvaluationRule
from kdharness.protocol.claim import Claim
from kdharness.protocol.pair import parse_pair
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.variant import setting

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry


@dataclass(frozen=True)
class TeacherFile:
    """A file with a teacher's weights, given on the command line."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Resolved:
    """All that a plan is made from.

    methods, models: everything installed, for methods may require any of it.
    datasets, scenarios: by name. pairs, seeds: those that run. chosen: the methods that run, in order.
    own_pairs: the benchmark's. own_scenarios: the benchmark's, and those that methods bring with them.
    files: teachers' weights by model name.
    metrics: names. claims, references, summary, note: for reports. warnings: one line each.
    """

    benchmark: str
    methods: Catalogue[MethodSpec]
    models: Catalogue[ModelSpec]
    datasets: Mapping[str, KnownDataset]
    scenarios: Mapping[str, Scenario]
    pairs: tuple[Pair, ...]
    seeds: tuple[int, ...]
    chosen: tuple[ChosenMethod, ...]
    recipes: Recipes
    own_pairs: tuple[Pair, ...]
    own_scenarios: tuple[str, ...]
    evaluation: EvaluationRule = field(default_factory=EvaluationRule)
    teacher_seed: int = 0
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


def resolve(benchmark: Benchmark, selection: Selection, registry: Registry) -> Resolved:
    """UserError for names that nobody provides, wrong values, and an axis on which nothing is left."""
    settings = dict(parse_settings(selection.settings))
    recipes = resolve_recipes(benchmark, settings.pop("recipe", {}), selection.epochs)
    choices = asked_methods(benchmark, selection, registry)
    datasets = _names("dataset", selection.datasets, benchmark.datasets, benchmark, registry)
    _check_owners(settings, choices, datasets, registry)
    pairs = _pairs(benchmark, selection, registry)
    placement = place_methods(choices, benchmark, selection, registry)
    return Resolved(
        benchmark=benchmark.name,
        methods=catalogue("method", registry),
        models=catalogue("model", registry),
        datasets={n: resolve_dataset(n, benchmark, selection, settings.get(n, {}), registry) for n in datasets},
        scenarios=placement.scenarios,
        pairs=pairs,
        seeds=benchmark.seeds if selection.seeds is None else selection.seeds,
        chosen=resolve_choices(choices, placement, pairs, benchmark, settings, registry),
        recipes=recipes,
        own_pairs=benchmark.pairs,
        own_scenarios=tuple(placement.scenarios) if selection.scenarios is None else benchmark.scenarios,
        evaluation=benchmark.evaluation,
        teacher_seed=benchmark.teacher_seed,
        files=_teacher_files(selection.teachers, {teacher for pair in pairs for teacher in pair.teachers}),
        metrics=_metrics(benchmark, registry),
        claims=resolve_claims(benchmark, registry),
        references=benchmark.references,
        summary=benchmark.summary,
        note=benchmark.note,
        warnings=(
            *clashing_methods(benchmark, selection, registry),
            *placement.warnings,
            *_unprovided(benchmark, registry),
        ),
    )


def _names(
    kind: str, chosen: tuple[str, ...] | None, declared: tuple[str, ...], benchmark: Benchmark, registry: Registry
) -> tuple[str, ...]:
    """Names of a kind that the registry knows, each once."""
    names = declared if chosen is None else chosen
    if not names:
        raise UserError(f"no {kind} is left: --{kind}s names none")
    for name in names:
        registry.get(kind, name, benchmark.place if chosen is None else f"--{kind}s")
    return tuple(dict.fromkeys(names))


def _metrics(benchmark: Benchmark, registry: Registry) -> tuple[str, ...]:
    """Those named; "all" stands for all but those that are measured on request only."""
    usual = [name for name, metric in registry.metrics.items() if not metric.spec.on_request]
    named = tuple(n for name in benchmark.metrics for n in (usual if name == "all" else [name]))
    return _names("metric", None, named, benchmark, registry)


def _pairs(benchmark: Benchmark, selection: Selection, registry: Registry) -> tuple[Pair, ...]:
    pairs, where = benchmark.pairs, benchmark.place
    if selection.pairs is not None:
        where = "--pairs"
        try:
            pairs = tuple(parse_pair(text) for text in selection.pairs)
        except ValueError as error:
            raise UserError(f"--pairs: {error}") from None
    for pair in pairs:
        for model in (*pair.teachers, pair.student):
            registry.get("model", model, where)
    if not pairs:
        raise UserError("no pair is left: --pairs names none")
    return tuple(dict.fromkeys(pairs))


def _teacher_files(given: Iterable[str], models: set[str]) -> dict[str, TeacherFile]:
    """By model name. given: of --teacher; models: the pairs' teachers."""
    files: dict[str, TeacherFile] = {}
    for text in given:
        model, equals, path = text.partition("=")
        if not equals:
            if len(models) > 1:
                raise UserError(
                    f"--teacher {text}: name its model, as model=FILE; the pairs have {', '.join(sorted(models))}"
                )
            model, path = next(iter(models)), text
        if model not in models:
            raise unknown("teacher model", model, models, "--teacher")
        try:
            with open(path, "rb") as file:
                files[model] = TeacherFile(str(Path(path).resolve()), file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise UserError(f"--teacher: file {path} cannot be read: {error.strerror}") from None
    return files


def _check_owners(
    settings: Settings, choices: Iterable[MethodChoice], datasets: tuple[str, ...], registry: Registry
) -> None:
    """UserError for a setting of what does not run."""
    chosen = {*(choice.name for choice in choices), *datasets}
    for owner, changes in settings.items():
        if owner in chosen:
            continue
        where = setting(owner, next(iter(changes)))
        for kind in ("method", "dataset"):
            if owner in registry.of(kind):
                raise UserError(f"{where}: {kind} '{owner}' is not among those that run")
        raise unknown("method, dataset or 'recipe'", owner, {*chosen, "recipe"}, where)


def _unprovided(benchmark: Benchmark, registry: Registry) -> list[str]:
    """Lines on what the benchmark says about names that nobody provides: a slip of the pen, or a plugin that is not
    installed.
    """
    said = {
        "method": (*benchmark.methods, *benchmark.references),
        "model": tuple(benchmark.models),
        "dataset": tuple(benchmark.dataset),
    }
    return [
        str(unknown(kind, name, registry.of(kind), benchmark.place))
        for kind, names in said.items()
        for name in dict.fromkeys(names)
        if name not in registry.of(kind) and (kind, name) not in registry.clashes
    ]
