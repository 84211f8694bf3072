"""From a benchmark and a selection to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdharness.api.method import Method
from kdharness.api.requirements import Pair, Requirement
from kdharness.api.specs import MethodSpec
from kdharness.errors import UserError, unknown
from kdharness.planning.axes import Axes, KnownDataset
from kdharness.planning.cell import NUMERICS, SCHEMA, STUDENT, Cell, TeacherSource, digest
from kdharness.planning.compatibility import Compatibility
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.planning.selection import MethodChoice, Selection
from kdharness.protocol.benchmark import Benchmark, PairNames
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.variant import coerced, lacking, made, untrainable, variant_text
from kdharness.registry.manager import Registry
from kdharness.registry.source import Registered
from kdharness.text import timestamp


@dataclass(frozen=True)
class Setting:
    """One point of the matrix but for method and seed."""

    dataset: str
    scenario_name: str
    scenario: Scenario
    pair: PairNames


@dataclass(frozen=True)
class Training:
    """A training run that has no identity yet.

    parameters: all of the method's; base: those that a variant's name leaves out; requirements: None: the method says.
    """

    method: str
    parameters: Mapping[str, Any]
    base: Mapping[str, Any]
    student: str
    teachers: tuple[str, ...]
    seed: int
    without: tuple[str, ...] = ()
    role: str = STUDENT
    subset: str = "train"
    requirements: tuple[Requirement, ...] | None = None


@dataclass(frozen=True)
class Sources:
    """Where a cell's teachers come from, what its student starts from, and the models of further networks that the
    method makes; fault: why they cannot be had.
    """

    teachers: tuple[TeacherSource, ...] = ()
    start: TeacherSource | None = None
    networks: tuple[str, ...] = ()
    fault: str = ""


def expand(benchmark: Benchmark, selection: Selection, registry: Registry, command: Sequence[str] = ()) -> Plan:
    """All cells that the selection asks for, required ones first. UserError for unknown names and for an empty
    matrix.
    """
    return Expansion(benchmark, selection, registry).plan(command)


class Expansion:
    """The cells made so far, by key, and the parts of an ablation that each is."""

    def __init__(self, benchmark: Benchmark, selection: Selection, registry: Registry) -> None:
        self.benchmark = benchmark
        self.selection = selection
        self.registry = registry
        self.axes = Axes(benchmark, selection, registry)
        self.compatibility = Compatibility(registry)
        self.cells: dict[str, PlannedCell] = {}
        self.parts: dict[str, list[str]] = {}

    def plan(self, command: Sequence[str]) -> Plan:
        axes = self.axes
        for setting in self._settings():
            for choice in axes.choices:
                if axes.runs_in(choice.name, setting.scenario_name):
                    for seed in axes.seeds:
                        self._add_student(setting, choice, seed)
        if not self.cells:
            raise UserError("nothing is left to run: " + "; ".join(axes.warnings))
        return Plan(
            benchmark=self.benchmark.name,
            cells=tuple(self.cells.values()),
            summary=self.benchmark.summary,
            note=self.benchmark.note,
            references=self.benchmark.references,
            metrics=axes.metrics,
            warnings=tuple(axes.warnings),
            command=tuple(command),
            created_at=timestamp("microseconds"),
            claims=axes.claims,
            ablated=axes.ablated,
            parts={key: tuple(names) for key, names in self.parts.items()},
        )

    def _settings(self) -> list[Setting]:
        axes = self.axes
        return [
            Setting(dataset, name, axes.scenario(name), pair)
            for dataset in axes.datasets
            for name in axes.scenarios
            for pair in axes.pairs
        ]

    # -- cells --------------------------------------------------------------------------------------------------------

    def _add_student(self, setting: Setting, choice: MethodChoice, seed: int) -> None:
        spec = self._method(choice.name).spec
        owner, place = f"method '{choice.name}'", self.axes.place
        defaults = self.axes.parameters_of(choice.name, setting.pair)
        given, without = self.axes.asked_of(choice, setting.pair)
        training = Training(
            method=choice.name,
            base=coerced(owner, spec.parameters, {k: v for k, v in defaults.items() if k != "without"}, place),
            parameters=coerced(owner, spec.parameters, given),
            student=setting.pair.student,
            teachers=setting.pair.teachers,
            seed=seed,
            without=without,
        )
        method, fault = self._instance(training)
        terms = method.terms if method is not None else {}
        for term in lacking(terms, without):
            if choice.part and term in choice.without:
                return  # with this pair's parameters, the method has no such part
            self._check_term(term, choice, training, terms)
        cell = self._add(setting, training, method, fault)
        names = self.parts.setdefault(cell.key, []) if choice.part else []
        if choice.part not in names:
            names.append(choice.part)

    def _check_term(self, term: str, choice: MethodChoice, training: Training, terms: Mapping[str, str]) -> None:
        """UserError for a term to leave out that is not among `terms`, unless it is only --set that takes it away."""
        spec, asked = self._method(choice.name).spec, self.axes.settings.get(choice.name, {})
        where = f"{self.axes.place}, variants" if term in choice.without else self.axes.place
        if term not in choice.without and "without" in asked:
            where = f"--set {choice.name}.without"
        else:
            own = coerced(f"method '{choice.name}'", spec.parameters, {**training.base, **choice.parameters})
            method, _ = self._instance(replace(training, parameters=own))
            terms = method.terms if method is not None else {}
        if lacking(terms, [term]):
            raise unknown(f"loss term of method '{choice.name}'", term, terms, where)

    def _add(self, setting: Setting, training: Training, method: Method | None, fault: str) -> Cell:
        """Plans a cell, after the cells that it requires, and returns it. fault: why the method cannot be made."""
        sources = Sources(fault=fault) if method is None else self._sources(setting, training, method)
        cell = self._cell(setting, training, sources, method.regime if method is not None else "")
        if cell.key not in self.cells:
            fault = sources.fault or self._reason(cell, method) or ""
            self.cells[cell.key] = PlannedCell(cell, fault)
        return cell

    def _method(self, name: str) -> Registered[MethodSpec]:
        found: Registered[MethodSpec] = self.registry.get("method", name)
        return found

    def _instance(self, training: Training) -> tuple[Method | None, str]:
        """The method with its parameters; or None, and what it raised."""
        spec = self._method(training.method).spec
        try:
            method = made(spec, training.parameters)
            _ = [set(method.terms), method.regime, method.reads]  # which may be properties, and raise
            return method, ""
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything; it must not stop the others' plan
            return None, _raised(training.method, "cannot be made", error)

    def _sources(self, setting: Setting, training: Training, method: Method) -> Sources:
        """What the method requires, planned if need be."""
        pair, asked = Pair(training.teachers, training.student), "requires()"
        try:
            requirements = tuple(method.requires(pair)) if training.requirements is None else training.requirements
            asked = "networks()"
            networks = tuple(method.networks(pair))
        except Exception as error:  # noqa: BLE001 - as above
            return Sources(fault=_raised(training.method, f"failed in {asked}", error))
        try:
            found = [(r, self._source(setting, r, training.seed)) for r in requirements]
            for name in networks:
                self.registry.get("model", name)
        except UserError as error:
            fault = f"method '{training.method}' requires what there is not: {error}"
            if training.method in self.axes.settings:  # what a user asked for, rather than what a plugin does
                raise UserError(fault) from None
            return Sources(fault=fault)
        teachers = tuple(source for requirement, source in found if not requirement.warm_start)
        start = next((source for requirement, source in found if requirement.warm_start), None)
        return Sources(teachers, start, networks)

    def _source(self, setting: Setting, requirement: Requirement, seed: int) -> TeacherSource:
        """The cell that a requirement stands for, planned if need be; or the file given for its model."""
        model = requirement.model
        plain = replace(requirement, same_seed=False, auxiliary=False) == Requirement(model)
        if plain and model in self.axes.files:
            file = self.axes.files[model]
            return TeacherSource(model, sha256=file.sha256, path=file.path, auxiliary=requirement.auxiliary)
        spec = self._method(requirement.method).spec
        owner = f"method '{requirement.method}'"
        training = Training(
            method=requirement.method,
            base=coerced(owner, spec.parameters, {}),
            parameters=coerced(owner, spec.parameters, requirement.parameters),
            student=self.registry.get("model", model).spec.name,
            teachers=tuple(r.model for r in requirement.teachers),
            seed=seed if requirement.same_seed else self.benchmark.teacher_seed,
            role=requirement.role,
            subset=requirement.subset,
            requirements=requirement.teachers or None,
        )
        return TeacherSource(
            model, cell=self._add(setting, training, *self._instance(training)).key, auxiliary=requirement.auxiliary
        )

    def _reason(self, cell: Cell, method: Method | None) -> str | None:
        """Why the cell will not run: its models do not fit the data or the method, or what it requires will not run."""
        for key in cell.requires:
            if self.cells[key].skip:
                return f"{self.cells[key].cell.label} will not run: {self.cells[key].skip}"
        if method is None:
            return None
        left_out = untrainable(cell.method, method.terms, cell.document["method"]["without"])
        return left_out or self.compatibility.reason(cell, method, self.axes.datasets[cell.dataset].info)

    # -- identity -----------------------------------------------------------------------------------------------------

    def _cell(self, setting: Setting, training: Training, sources: Sources, regime: str) -> Cell:
        registered = self._method(training.method)
        dataset = self.axes.datasets[setting.dataset]
        document = self._document(setting, training, sources, dataset)
        stamp = document["method"]["plugin"]
        return Cell(
            key=digest(document),
            benchmark=self.benchmark.name,
            protocol=self._protocol(document),
            deviations="; ".join(self._deviations(setting, training, bool(sources.teachers))),
            dataset=setting.dataset,
            dataset_parameters=dataset.parameters,
            scenario=setting.scenario_name,
            role=training.role,
            method=training.method,
            variant=variant_text(training.parameters, training.base, training.without),
            parameters=training.parameters,
            method_package=str(stamp.get("package", registered.source.distribution or registered.source.file)),
            method_revision=str(stamp.get("revision", stamp.get("version", stamp.get("digest", "")))),
            student=training.student,
            teachers=sources.teachers,
            seed=training.seed,
            regime=_regime(regime, setting.scenario, len(sources.teachers)),
            document=document,
            start=sources.start,
        )

    def _document(
        self, setting: Setting, training: Training, sources: Sources, dataset: KnownDataset
    ) -> dict[str, Any]:
        """All that decides a cell's numbers."""
        method = {
            "name": training.method,
            "parameters": dict(training.parameters),
            "without": list(training.without),
            "plugin": self.registry.stamp(self._method(training.method)),
        }
        teachers = [{**self._network(s.model), "source": s.sha256 or s.cell} for s in sources.teachers]
        start = {"start": sources.start.sha256 or sources.start.cell} if sources.start else {}
        networks = {"networks": [self._network(name) for name in sources.networks]} if sources.networks else {}
        recipe = self.axes.recipes.of_model(training.student, teaches=training.role != STUDENT)
        return {
            "schema": SCHEMA,
            "numerics": NUMERICS,
            "dataset": dict(dataset.document),
            "scenario": setting.scenario.model_dump(mode="json"),
            "recipe": recipe.model_dump(mode="json"),
            "role": training.role,
            "subset": training.subset,
            "method": method,
            "student": self._network(training.student),
            "teachers": teachers,
            **start,
            **networks,
            "evaluation": {"split": "test", **self.benchmark.evaluation.model_dump()},
            "seed": training.seed,
        }

    def _network(self, name: str) -> dict[str, Any]:
        return {"name": name, "plugin": self.registry.stamp(self.registry.get("model", name))}

    def _protocol(self, document: Mapping[str, Any]) -> str:
        """The digest of what makes cells comparable."""
        recipes = self.axes.recipes
        shared = {name: document[name] for name in ("schema", "numerics", "dataset", "scenario", "evaluation")}
        return digest(
            {
                **shared,
                "recipe": recipes.base.model_dump(mode="json"),
                "teacher": dict(recipes.teacher),
                "models": {k: dict(v) for k, v in recipes.models.items() if v},
                "files": sorted(file.sha256 for file in self.axes.files.values()),
            },
            12,
        )

    def _deviations(self, setting: Setting, training: Training, taught: bool) -> list[str]:
        """How a cell departs from its benchmark."""
        benchmark, axes = self.benchmark, self.axes
        found = [*axes.recipes.deviations, *axes.datasets[setting.dataset].deviations]
        if setting.dataset not in benchmark.datasets:
            found.append(f"dataset={setting.dataset}")
        if setting.scenario_name not in benchmark.scenarios and self.selection.scenarios is not None:
            found.append(f"scenario={setting.scenario_name}")
        if taught:
            if setting.pair not in benchmark.pairs:
                found.append(f"pair={setting.pair}")
            files = sorted((model, file) for model, file in axes.files.items() if model in setting.pair.teachers)
            found += [f"teacher {model} from file {file.sha256[:12]}" for model, file in files]
        elif training.role == STUDENT and training.student not in {pair.student for pair in benchmark.pairs}:
            found.append(f"student={training.student}")
        return found


def _raised(method: str, what: str, error: Exception) -> str:
    return f"method '{method}' {what}: {' '.join(f'{type(error).__name__}: {error}'.split())[:200]}"


def _regime(own: str, scenario: Scenario, teachers: int) -> str:
    """The method's own, or what scenario and pair make of it: of private data only those know that ask a teacher."""
    if own:
        return own
    if scenario.kind == "noise":
        return "noisy_labels"
    if scenario.kind == "split" and teachers:
        return "private_data"
    return "several_teachers" if teachers > 1 else ""
