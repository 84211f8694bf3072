"""From a benchmark and a selection to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import Any

from kdharness.api.data import DataRequest, DatasetInfo, DatasetMissing
from kdharness.api.method import Method, Pair, Requirement
from kdharness.api.specs import DatasetSpec, MethodSpec
from kdharness.errors import UserError, unknown
from kdharness.matrix.benchmark import Benchmark, PairNames
from kdharness.matrix.cell import NUMERICS, SCHEMA, STUDENT, Cell, TeacherSource, digest
from kdharness.matrix.fitness import Fitness
from kdharness.matrix.plan import Plan, PlannedCell
from kdharness.matrix.scenario import Scenario, resolve
from kdharness.matrix.selection import MethodChoice, Recipes, Selection, parse_settings
from kdharness.registry.manager import Registry
from kdharness.registry.source import Registered


@dataclass(frozen=True)
class Setting:
    """One point of the matrix but for method and seed."""

    dataset: str
    scenario_name: str
    scenario: Scenario
    pair: PairNames


def expand(benchmark: Benchmark, selection: Selection, registry: Registry, command: Sequence[str] = ()) -> Plan:
    """All cells that the selection asks for, required ones first. UserError for unknown names and for an empty
    matrix.
    """
    return Expansion(benchmark, selection, registry).plan(command)


class Expansion:
    """The resolved axes, and the cells made so far by key."""

    def __init__(self, benchmark: Benchmark, selection: Selection, registry: Registry) -> None:
        self.benchmark = benchmark
        self.selection = selection
        self.registry = registry
        self.warnings: list[str] = []
        self.settings = parse_settings(selection.settings)
        self.recipes = Recipes.of(benchmark, self.settings.pop("recipe", {}), selection.epochs)
        self.choices = self._choices()
        self.datasets = self._names("dataset", selection.datasets, benchmark.datasets, "--datasets")
        self.pairs = self._pairs()
        self.scenarios = selection.scenarios if selection.scenarios is not None else benchmark.scenarios
        self.seeds = selection.seeds if selection.seeds is not None else benchmark.seeds
        self.files = self._teacher_files()
        self._check_settings()
        self.fitness = Fitness(registry)
        self.infos: dict[str, tuple[DatasetInfo, dict[str, Any], dict[str, Any]]] = {
            d: self._describe(d) for d in self.datasets
        }
        self.cells: dict[str, PlannedCell] = {}

    # -- axes ---------------------------------------------------------------------------------------------------------

    def _names(
        self, kind: str, chosen: tuple[str, ...] | None, declared: tuple[str, ...], option: str
    ) -> tuple[str, ...]:
        names = chosen if chosen is not None else declared
        for name in names:
            self.registry.get(kind, name, option if chosen is not None else f"benchmark '{self.benchmark.name}'")
        return tuple(dict.fromkeys(names))

    def _choices(self) -> tuple[MethodChoice, ...]:
        if self.selection.choices is not None:
            return self.selection.choices
        named = self.selection.methods if self.selection.methods is not None else self.benchmark.run
        usable = tuple(self.registry.methods)
        names: list[str] = []
        for name in named:
            if name == "all":
                names += usable
            else:
                self.registry.get("method", name, "--methods")
                names.append(name)
        for kind, name in self.registry.clashes:
            if kind == "method" and "all" in named:
                self.warnings.append(
                    f"method '{name}' is claimed by two plugins and left out; see kdharness list plugins"
                )
        for name in self.selection.skip:
            if name not in usable:
                raise unknown("method", name, usable, "--skip")
        kept = [n for n in dict.fromkeys(names) if n not in self.selection.skip]
        if not kept:
            raise UserError("no method is left: " + ("--skip takes them all away" if names else "--methods names none"))
        return tuple(MethodChoice(name) for name in kept)

    def _pairs(self) -> tuple[PairNames, ...]:
        if self.selection.pairs is None:
            pairs = self.benchmark.pairs
        else:
            try:
                pairs = tuple(PairNames.parse(text) for text in self.selection.pairs)
            except ValueError as error:
                raise UserError(f"--pairs: {error}") from None
        where = "--pairs" if self.selection.pairs is not None else f"benchmark '{self.benchmark.name}'"
        for pair in pairs:
            for model in (*pair.teachers, pair.student):
                self.registry.get("model", model, where)
        if not pairs:
            raise UserError("no pair is left: --pairs names none")
        return pairs

    def _teacher_files(self) -> dict[str, tuple[str, str]]:
        """(path, sha256) by model name."""
        models = {t for pair in self.pairs for t in pair.teachers}
        files: dict[str, tuple[str, str]] = {}
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
                    files[model] = (str(Path(path).resolve()), file_digest(file, "sha256").hexdigest())
            except OSError as error:
                raise UserError(f"--teacher: file {path} cannot be read: {error.strerror}") from None
        return files

    def _check_settings(self) -> None:
        chosen = {c.name for c in self.choices} | set(self.datasets)
        for owner, changes in self.settings.items():
            if owner not in chosen:
                raise unknown(
                    "method, dataset or 'recipe'", owner, {*chosen, "recipe"}, f"--set {owner}.{next(iter(changes))}"
                )

    def _describe(self, name: str) -> tuple[DatasetInfo, dict[str, Any], dict[str, Any]]:
        """What is known of the dataset, its parameters, and its part of a cell's document."""
        registered = self.registry.get("dataset", name)
        spec: DatasetSpec = registered.spec
        given = {**self.benchmark.dataset.get(name, {}), **self.settings.get(name, {})}
        parameters = self._coerced(f"dataset '{name}'", spec.parameters, given)
        try:
            info = spec.describe(DataRequest(self.selection.data_root, self.selection.download, parameters))
        except (DatasetMissing, ValueError) as error:
            raise UserError(f"dataset '{name}': {error}") from None
        shared = {k: v for k, v in parameters.items() if k not in spec.local_parameters}
        document = {
            "name": name,
            "identity": info.identity,
            "parameters": shared,
            "plugin": self.registry.stamp(registered),
        }
        return info, parameters, document

    def _coerced(self, owner: str, parameters: Sequence[Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters by name, JSON-valued. UserError for unknown names and values of the wrong type."""
        by_name = {p.name: p for p in parameters}
        values = {p.name: p.canonical(p.default) for p in parameters}
        for key, value in given.items():
            if key not in by_name:
                raise unknown(f"parameter of {owner}", key, by_name, "--set")
            try:
                values[key] = by_name[key].canonical(value)
            except ValueError as error:
                raise UserError(f"{owner}: parameter '{key}': {error}") from None
        return values

    # -- cells --------------------------------------------------------------------------------------------------------

    def plan(self, command: Sequence[str]) -> Plan:
        settings = [
            Setting(dataset, name, resolve(name, self.benchmark.scenario, "--scenarios"), pair)
            for dataset in self.datasets
            for name in self._all_scenarios()
            for pair in self.pairs
        ]
        for setting in settings:
            for choice in self.choices:
                if self._runs_in(choice, setting.scenario_name):
                    for seed in self.seeds:
                        self._student(setting, choice, seed)
        if not self.cells:
            raise UserError(
                f"nothing is planned: scenarios {', '.join(self.scenarios)} suit none of the chosen methods"
            )
        metrics = tuple(self.registry.metrics) if "all" in self.benchmark.metrics else self.benchmark.metrics
        return Plan(
            benchmark=self.benchmark.name,
            cells=tuple(self.cells.values()),
            summary=self.benchmark.summary,
            note=self.benchmark.note,
            references=self.benchmark.references,
            metrics=tuple(metrics),
            warnings=tuple(self.warnings),
            command=tuple(command),
            created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )

    def _needs(self, choice: MethodChoice) -> str | None:
        needs: str | None = self._spec(choice.name).spec.factory.needs_scenario
        return needs

    def _all_scenarios(self) -> list[str]:
        """Those asked for, and those that a method brings with it when none was asked for."""
        names = list(self.scenarios)
        if self.selection.scenarios is None:
            names += [n for n in (self._needs(c) for c in self.choices) if n]
        return list(dict.fromkeys(names))

    def _runs_in(self, choice: MethodChoice, scenario: str) -> bool:
        needs = self._needs(choice)
        if needs is None:
            brought = {self._needs(c) for c in self.choices} - set(self.scenarios)
            return scenario not in brought or choice.name in self.benchmark.references
        kind = resolve(needs, self.benchmark.scenario, "needs_scenario").kind
        return resolve(scenario, self.benchmark.scenario, "--scenarios").kind == kind

    def _spec(self, name: str) -> Registered[MethodSpec]:
        found: Registered[MethodSpec] = self.registry.get("method", name, "--methods")
        return found

    def _student(self, setting: Setting, choice: MethodChoice, seed: int) -> None:
        spec = self._spec(choice.name).spec
        defaults = self._benchmark_parameters(choice.name, setting.pair)
        given = {**defaults, **choice.parameters, **self.settings.get(choice.name, {})}
        without = tuple(sorted({*choice.without, *_words(given.pop("without", ()))}))
        owner = f"method '{choice.name}'"
        base = self._coerced(owner, spec.parameters, {k: v for k, v in defaults.items() if k != "without"})
        parameters = self._coerced(owner, spec.parameters, given)
        self._check_without(spec, without)
        self._cell(
            setting,
            choice.name,
            parameters,
            base,
            without,
            seed,
            STUDENT,
            "train",
            setting.pair.student,
            setting.pair.teachers,
        )

    def _check_without(self, spec: MethodSpec, without: tuple[str, ...]) -> None:
        terms = spec.factory.terms
        for term in without:
            if terms and term not in terms:
                raise unknown(f"loss term of method '{spec.name}'", term, terms, "without")

    def _benchmark_parameters(self, method: str, pair: PairNames) -> dict[str, Any]:
        table = dict(self.benchmark.methods.get(method, {}))
        by_pair = table.pop("pairs", {})
        return {**table, **by_pair.get(str(pair), {})}

    def _cell(
        self,
        setting: Setting,
        method: str,
        parameters: dict[str, Any],
        base: Mapping[str, Any],
        without: tuple[str, ...],
        seed: int,
        role: str,
        subset: str,
        student: str,
        teachers: tuple[str, ...],
        requirements: Sequence[Requirement] | None = None,
    ) -> Cell:
        """Adds a cell, after the cells that it requires, and returns it."""
        registered = self._spec(method)
        spec = registered.spec
        coerced = {p.name: p.coerce(parameters[p.name]) for p in spec.parameters}
        instance = spec.factory(**coerced)
        if requirements is None:
            requirements = list(instance.requires(Pair(teachers, student)))
        sources = tuple(self._source(setting, r, seed) for r in requirements if not r.warm_start)
        start = next((self._source(setting, r, seed) for r in requirements if r.warm_start), None)
        recipe = self.recipes.of_model(student, role != STUDENT)
        info, dataset_parameters, dataset = self.infos[setting.dataset]
        evaluation = {"split": "test", **self.benchmark.evaluation.model_dump()}
        scenario = setting.scenario.model_dump(mode="json")
        stamp = self.registry.stamp(registered)
        document = {
            "schema": SCHEMA,
            "numerics": NUMERICS,
            "dataset": dataset,
            "scenario": scenario,
            "recipe": recipe.model_dump(mode="json"),
            "role": role,
            "subset": subset,
            "method": {"name": method, "parameters": parameters, "without": list(without), "plugin": stamp},
            "student": {"name": student, "plugin": self.registry.stamp(self.registry.get("model", student))},
            "teachers": [
                {
                    "name": s.model,
                    "plugin": self.registry.stamp(self.registry.get("model", s.model)),
                    "source": s.sha256 or s.cell,
                }
                for s in sources
            ],
            **({"start": start.sha256 or start.cell} if start else {}),
            "evaluation": evaluation,
            "seed": seed,
        }
        cell = Cell(
            key=digest(document),
            benchmark=self.benchmark.name,
            protocol=self._protocol(dataset, scenario, evaluation),
            deviations="; ".join(self._deviations(setting, bool(sources))),
            dataset=setting.dataset,
            dataset_parameters=dataset_parameters,
            scenario=setting.scenario_name,
            role=role,
            method=method,
            variant=_variant(parameters, base, without),
            parameters=parameters,
            method_package=str(stamp.get("package", registered.source.distribution or registered.source.file)),
            method_revision=str(stamp.get("revision", stamp.get("version", stamp.get("digest", "")))),
            student=student,
            teachers=sources,
            seed=seed,
            regime=_regime(instance, setting.scenario, len(sources)),
            document=document,
            start=start,
        )
        if cell.key not in self.cells:
            self.cells[cell.key] = PlannedCell(cell, self._reason(cell, instance, info) or "")
        return cell

    def _source(self, setting: Setting, requirement: Requirement, seed: int) -> TeacherSource:
        """The cell that a requirement stands for, planned if need be; or the file given for its model."""
        if requirement.model in self.files and requirement.role != STUDENT and requirement.subset == "teacher":
            path, sha256 = self.files[requirement.model]
            return TeacherSource(requirement.model, sha256=sha256, path=path)
        spec = self._spec(requirement.method).spec
        base = self._coerced(f"method '{requirement.method}'", spec.parameters, {})
        parameters = self._coerced(f"method '{requirement.method}'", spec.parameters, requirement.parameters)
        own_seed = seed if requirement.same_seed else self.benchmark.teacher_seed
        cell = self._cell(
            setting, requirement.method, parameters, base, (), own_seed, requirement.role, requirement.subset,
            requirement.model, tuple(r.model for r in requirement.teachers), requirement.teachers or None,
        )  # fmt: skip
        return TeacherSource(requirement.model, cell=cell.key)

    def _protocol(self, dataset: Mapping[str, Any], scenario: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
        recipes = self.recipes
        document = {
            "schema": SCHEMA,
            "numerics": NUMERICS,
            "dataset": dataset,
            "scenario": scenario,
            "recipe": recipes.base.model_dump(mode="json"),
            "teacher": dict(recipes.teacher),
            "models": {k: dict(v) for k, v in recipes.models.items() if v},
            "files": sorted(sha256 for _, sha256 in self.files.values()),
            "evaluation": evaluation,
        }
        return digest(document, 12)

    def _deviations(self, setting: Setting, taught: bool) -> list[str]:
        found = list(self.recipes.deviations)
        if setting.dataset not in self.benchmark.datasets:
            found.append(f"dataset={setting.dataset}")
        if setting.scenario_name not in self.benchmark.scenarios and self.selection.scenarios is not None:
            found.append(f"scenario={setting.scenario_name}")
        if taught and setting.pair not in self.benchmark.pairs:
            found.append(f"pair={setting.pair}")
        if taught:
            found += [
                f"teacher {m} from file {sha[:12]}"
                for m, (_, sha) in sorted(self.files.items())
                if m in setting.pair.teachers
            ]
        return found

    def _reason(self, cell: Cell, method: Method, info: DatasetInfo) -> str | None:
        """Why the cell will not run: its models do not fit the data or the method, or what it requires will not run."""
        for key in cell.requires:
            if self.cells[key].skip:
                return f"{self.cells[key].cell.label} will not run: {self.cells[key].skip}"
        return self.fitness.reason(cell, method, info)


def _regime(method: Method, scenario: Scenario, teachers: int) -> str:
    """The method's own, or what scenario and pair make of it. The scenario comes first: it holds for every method."""
    if method.regime or scenario.kind != "noise":
        return method.regime or ("several_teachers" if teachers > 1 else "")
    return "noisy_labels"


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.strip("[]()").split(",") if part.strip())
    return tuple(str(part) for part in value) if isinstance(value, list | tuple) else ()


def _variant(parameters: Mapping[str, Any], base: Mapping[str, Any], without: tuple[str, ...]) -> str:
    """What differs from the benchmark's own parameters: "temperature=2,without=ce"."""
    changed = [f"{k}={_shown(v)}" for k, v in sorted(parameters.items()) if v != base[k]]
    return ",".join([*changed, *(f"without={term}" for term in without)])


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "+".join(map(_shown, value)) if isinstance(value, list) else str(value)
