"""The axes of a matrix: what a benchmark and a selection name, looked up in what is installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from kdharness.api.data import DataRequest, DatasetInfo, DatasetMissing
from kdharness.api.specs import DatasetSpec
from kdharness.errors import UserError, unknown
from kdharness.planning.selection import MethodChoice, Recipes, Selection, parse_settings
from kdharness.protocol.benchmark import Benchmark, PairNames
from kdharness.protocol.claim import Claim
from kdharness.protocol.scenario import Scenario, resolve
from kdharness.protocol.variant import check_without, coerced, competitor, parts, shown
from kdharness.registry.manager import Registry


@dataclass(frozen=True)
class KnownDataset:
    """A dataset as far as a plan knows it.

    parameters: all of them; document: its part of a cell's identity; deviations: parameters that are not the
    benchmark's, as text.
    """

    info: DatasetInfo
    parameters: Mapping[str, Any]
    document: Mapping[str, Any]
    deviations: tuple[str, ...]


@dataclass(frozen=True)
class TeacherFile:
    """A file with a teacher's weights, given on the command line."""

    path: str
    sha256: str


class Axes:
    """The resolved axes. UserError for names that nobody provides, and for an axis on which nothing is left.

    warnings: one line for each thing that is passed over; settings: of --set, by owner and key.
    """

    def __init__(self, benchmark: Benchmark, selection: Selection, registry: Registry) -> None:
        self.benchmark = benchmark
        self.selection = selection
        self.registry = registry
        self.warnings: list[str] = []
        self.settings = parse_settings(selection.settings)
        self.recipes = Recipes.of(benchmark, self.settings.pop("recipe", {}), selection.epochs)
        self.choices = self._choices()
        names = self._names("dataset", selection.datasets, benchmark.datasets)
        self._check_settings(names)
        self.datasets = {name: self._dataset(name) for name in names}
        self.pairs = self._pairs()
        self.files = self._teacher_files()
        self.seeds = benchmark.seeds if selection.seeds is None else selection.seeds
        self.needs = {choice.name: self._needed_scenario(choice.name) for choice in self.choices}
        self.scenarios = self._scenarios()
        self._check_beside()
        self.metrics = self._metrics()
        self.claims = self._claims()
        self._check_tables()

    @property
    def place(self) -> str:
        """Where a name comes from that the command line did not give."""
        return f"benchmark '{self.benchmark.name}'"

    # -- methods ------------------------------------------------------------------------------------------------------

    def _choices(self) -> tuple[MethodChoice, ...]:
        if self.selection.choices is not None:
            return self.selection.choices
        given = self.selection.methods is not None
        named = self.benchmark.run if self.selection.methods is None else self.selection.methods
        names: list[str] = []
        for name in named:
            if name == "all":
                names += self.registry.methods
            else:
                self.registry.get("method", name, "--methods" if given else self.place)
                names.append(name)
        for kind, name in self.registry.clashes:
            if kind == "method" and "all" in named:
                self.warnings.append(
                    f"method '{name}' is claimed by two plugins and left out; see kdharness list plugins"
                )
        for name in self.selection.skip:
            if name not in self.registry.methods:
                raise unknown("method", name, self.registry.methods, "--skip")
        kept = [n for n in dict.fromkeys(names) if n not in self.selection.skip]
        if not kept:
            raise UserError("no method is left: " + ("--skip takes them all away" if names else "--methods names none"))
        plain = tuple(MethodChoice(name) for name in kept)
        return (*plain, *(choice for choice in self._variants() if choice.name in kept))

    def _variants(self) -> list[MethodChoice]:
        """The benchmark's variants, of whatever method. UserError where one names what its method lacks."""
        found = []
        for variant in self.benchmark.variants:
            where = f"{self.place}, variants"
            spec = self.registry.get("method", variant.method, where).spec
            coerced(f"method '{variant.method}'", spec.parameters, variant.parameters, where)
            check_without(spec, variant.without, where)
            found.append(MethodChoice(variant.method, variant.parameters, variant.without))
        return found

    @property
    def ablated(self) -> str:
        """The method whose parts are compared, '' for none."""
        return next((choice.name for choice in self.choices if choice.part == choice.name), "")

    def asked_of(self, choice: MethodChoice, pair: PairNames) -> tuple[dict[str, Any], tuple[str, ...]]:
        """What is said of a choice's parameters for a pair, and the loss terms that it leaves out."""
        # What tells a variant from the plain method outweighs --set, or the two would be one.
        given = {**self.parameters_of(choice.name, pair), **self.settings.get(choice.name, {}), **choice.parameters}
        without = {*choice.without, *parts(given.pop("without", ()))}
        return given, tuple(sorted(without))

    def parameters_of(self, method: str, pair: PairNames) -> dict[str, Any]:
        """What the benchmark says of a method's parameters for a pair."""
        table = dict(self.benchmark.methods.get(method, {}))
        by_pair = {str(PairNames.parse(key)): values for key, values in table.pop("pairs", {}).items()}
        return {**table, **by_pair.get(str(pair), {})}

    # -- data ---------------------------------------------------------------------------------------------------------

    def _names(self, kind: str, chosen: tuple[str, ...] | None, declared: tuple[str, ...]) -> tuple[str, ...]:
        names = declared if chosen is None else chosen
        if not names:
            raise UserError(f"no {kind} is left: --{kind}s names none")
        for name in names:
            self.registry.get(kind, name, self.place if chosen is None else f"--{kind}s")
        return tuple(dict.fromkeys(names))

    def _dataset(self, name: str) -> KnownDataset:
        registered = self.registry.get("dataset", name)
        spec: DatasetSpec = registered.spec
        owner, own = f"dataset '{name}'", self.benchmark.dataset.get(name, {})
        base = coerced(owner, spec.parameters, own, self.place)
        parameters = coerced(owner, spec.parameters, {**own, **self.settings.get(name, {})})
        try:
            info = spec.describe(DataRequest(self.selection.data_root, self.selection.download, parameters))
        except (DatasetMissing, ValueError) as error:
            raise UserError(f"dataset '{name}': {error}") from None
        shared = {key: value for key, value in parameters.items() if key not in spec.local_parameters}
        stamp = self.registry.stamp(registered)
        document = {"name": name, "identity": info.identity, "parameters": shared, "plugin": stamp}
        deviations = tuple(f"{name}.{key}={shown(value)}" for key, value in shared.items() if value != base[key])
        return KnownDataset(info, parameters, document, deviations)

    def _needed_scenario(self, method: str) -> str | None:
        """The scenario that a method needs: the benchmark's own of that kind, else the one that the method names."""
        needed: str | None = self.registry.get("method", method, "--methods").spec.factory.needs_scenario
        try:
            if needed is not None:
                kind = self.scenario(needed, "needs_scenario").kind
                own = (*self.benchmark.scenarios, *self.benchmark.scenario)
                needed = next((name for name in own if self.scenario(name, self.place).kind == kind), needed)
        except UserError as error:
            self.warnings.append(f"method '{method}' does not get the scenario that it needs: {error}")
            return None
        return needed

    def _scenarios(self) -> tuple[str, ...]:
        """Those asked for, and those that a method brings with it when none was asked for."""
        chosen = self.selection.scenarios
        names = self.benchmark.scenarios if chosen is None else chosen
        if not names:
            raise UserError("no scenario is left: --scenarios names none")
        kinds = {self.scenario(name, self.place if chosen is None else "--scenarios").kind for name in names}
        needed = {method: name for method, name in self.needs.items() if name is not None}
        if chosen is None:
            return tuple(dict.fromkeys((*names, *needed.values())))
        for method, name in needed.items():
            if self.scenario(name).kind not in kinds:
                self.warnings.append(f"method '{method}' is left out: it needs a scenario like '{name}' (--scenarios)")
        return tuple(dict.fromkeys(names))

    def scenario(self, name: str, where: str = "") -> Scenario:
        return resolve(name, self.benchmark.scenario, where)

    def runs_in(self, method: str, scenario: str) -> bool:
        """Whether a method has cells in a scenario: in one like that which it needs; in one that another method
        brought with it only to be compared there. In an ablation, where the method that is taken apart has some.
        """
        needed = self.needs[method]
        if needed is not None and self.scenario(scenario).kind != self.scenario(needed).kind:
            return False
        if self.ablated:
            return method == self.ablated or self.runs_in(self.ablated, scenario)
        asked = self.selection.scenarios or self.benchmark.scenarios
        return needed is not None or scenario in asked or method in self.benchmark.references

    def _check_beside(self) -> None:
        """Warns of what an ablation is to be compared with and cannot be."""
        for name in dict.fromkeys(choice.name for choice in self.choices if self.ablated):
            if name != self.ablated and not any(self.runs_in(name, scenario) for scenario in self.scenarios):
                self.warnings.append(f"method '{name}' is left out: it has no scenario in common with '{self.ablated}'")

    # -- networks -----------------------------------------------------------------------------------------------------

    def _pairs(self) -> tuple[PairNames, ...]:
        pairs, where = self.benchmark.pairs, self.place
        if self.selection.pairs is not None:
            where = "--pairs"
            try:
                pairs = tuple(PairNames.parse(text) for text in self.selection.pairs)
            except ValueError as error:
                raise UserError(f"--pairs: {error}") from None
        for pair in pairs:
            for model in (*pair.teachers, pair.student):
                self.registry.get("model", model, where)
        if not pairs:
            raise UserError("no pair is left: --pairs names none")
        return tuple(dict.fromkeys(pairs))

    def _teacher_files(self) -> dict[str, TeacherFile]:
        """By model name."""
        models = {teacher for pair in self.pairs for teacher in pair.teachers}
        files: dict[str, TeacherFile] = {}
        for text in self.selection.teachers:
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

    # -- what must be known, and what is better known -----------------------------------------------------------------

    def _check_settings(self, datasets: tuple[str, ...]) -> None:
        """UserError for a setting of what does not run."""
        chosen = {*(choice.name for choice in self.choices), *datasets}
        for owner, changes in self.settings.items():
            if owner in chosen:
                continue
            where = f"--set {owner}.{next(iter(changes))}"
            for kind in ("method", "dataset"):
                if owner in self.registry.of(kind):
                    raise UserError(f"{where}: {kind} '{owner}' is not among those that run")
            raise unknown("method, dataset or 'recipe'", owner, {*chosen, "recipe"}, where)

    def _metrics(self) -> tuple[str, ...]:
        """Those named; "all" stands for all but those that are measured on request only."""
        usual = [name for name, metric in self.registry.metrics.items() if not metric.spec.on_request]
        given = self.benchmark.metrics
        return self._names("metric", None, tuple(n for name in given for n in (usual if name == "all" else [name])))

    def _claims(self) -> tuple[Claim, ...]:
        """The benchmark's claims with all that follows from the registry. UserError for names that are not in it."""
        found = []
        for number, claim in enumerate(self.benchmark.claims, 1):
            where = f"{self.place}, claim {number}"
            if claim.dataset is not None:
                self.registry.get("dataset", claim.dataset, where)
            if claim.scenario is not None:
                self.scenario(claim.scenario, where)
            names = {}
            for text in (claim.better, claim.than):
                method = text.partition("[")[0].strip()
                own = self.benchmark.methods.get(method, {})
                base = {k: v for k, v in own.items() if k not in ("pairs", "without")}
                method, variant = competitor(text, self.registry.get("method", method, where).spec, base, where)
                names[text] = f"{method}[{variant}]" if variant else method
            found.append(claim.settled(self.registry, names))
        return tuple(found)

    def _check_tables(self) -> None:
        """Warns of what the benchmark says about names that nobody provides: a slip of the pen, or a plugin that is
        not installed.
        """
        said = {
            "method": (*self.benchmark.methods, *self.benchmark.references),
            "model": tuple(self.benchmark.models),
            "dataset": tuple(self.benchmark.dataset),
        }
        for kind, names in said.items():
            for name in dict.fromkeys(names):
                if name not in self.registry.of(kind) and (kind, name) not in self.registry.clashes:
                    self.warnings.append(str(unknown(kind, name, self.registry.of(kind), self.place)))
