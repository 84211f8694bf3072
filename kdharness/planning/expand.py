"""From what is resolved to a plan. Nothing here looks a name up elsewhere, reads a file or asks the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kdharness.api.requirements import Pair, Requirement
from kdharness.errors import UserError
from kdharness.planning.cell import Cell, TeacherSource, digest
from kdharness.planning.choices import ChosenMethod
from kdharness.planning.documents import Documents
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.planning.resolve import Resolved
from kdharness.planning.training import Setting, Sources, Training
from kdharness.protocol.scenario import Scenario
from kdharness.protocol.variant import Setup, completed, defaults, made, untrainable

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method

# Why a cell's method cannot serve its models, or None.
Compatibility = Callable[[Cell, "Method"], str | None]


def expand(resolved: Resolved, compatibility: Compatibility, command: Sequence[str] = (), created_at: str = "") -> Plan:
    """All cells, required ones first. UserError for an empty matrix."""
    return _Expansion(resolved, compatibility).plan(tuple(command), created_at)


class _Expansion:
    """The cells made so far, by key, and the parts of an ablation that each is."""

    def __init__(self, resolved: Resolved, compatibility: Compatibility) -> None:
        self.resolved = resolved
        self.documents = Documents(resolved)
        self.compatibility = compatibility
        self.cells: dict[str, PlannedCell] = {}
        self.parts: dict[str, list[str]] = {}

    def plan(self, command: tuple[str, ...], created_at: str) -> Plan:
        resolved = self.resolved
        for dataset in resolved.datasets:
            for scenario in resolved.scenarios:
                for pair in resolved.pairs:
                    self._add_students(Setting(dataset, scenario, pair))
        if not self.cells:
            raise UserError("nothing is left to run: " + "; ".join(resolved.warnings))
        return Plan(
            benchmark=resolved.benchmark,
            cells=tuple(self.cells.values()),
            summary=resolved.summary,
            note=resolved.note,
            references=resolved.references,
            metrics=resolved.metrics,
            warnings=resolved.warnings,
            command=command,
            created_at=created_at,
            claims=resolved.claims,
            ablated=resolved.ablated,
            parts={key: tuple(names) for key, names in self.parts.items()},
        )

    # -- cells --------------------------------------------------------------------------------------------------------

    def _add_students(self, setting: Setting) -> None:
        for chosen in self.resolved.chosen:
            setup = chosen.setups.get(setting.pair)
            if setup is None or setting.scenario not in chosen.scenarios:
                continue
            for seed in self.resolved.seeds:
                self._add_student(setting, chosen, setup, seed)

    def _add_student(self, setting: Setting, chosen: ChosenMethod, setup: Setup, seed: int) -> None:
        pair = setting.pair
        cell = self._add(setting, Training(chosen.name, setup, pair.student, pair.teachers, seed))
        names = self.parts.setdefault(cell.key, []) if chosen.part else []
        if chosen.part not in names:
            names.append(chosen.part)

    def _add(self, setting: Setting, training: Training) -> Cell:
        """Plans a cell, after the cells that it requires, and returns it."""
        method, fault = self._made(training)
        sources = Sources(fault=fault) if method is None else self._sources(setting, training, method)
        cell = self._cell(setting, training, sources, method.regime if method is not None else "")
        if cell.key not in self.cells:
            self.cells[cell.key] = PlannedCell(cell, sources.fault or self._reason(cell, method) or "")
        return cell

    def _made(self, training: Training) -> tuple[Method | None, str]:
        """The method with its parameters; or None, and what it raised."""
        try:
            method = made(self.resolved.methods.get(training.method).spec, training.setup.values)
            # These may be properties, and raise.
            _ = [set(method.terms), method.regime, method.reads, method.mixed_labels]
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
            found = [(r, self._source(setting, r, training)) for r in requirements]
            for name in networks:
                self.resolved.models.get(name)
        except UserError as error:
            fault = f"method '{training.method}' requires what there is not: {error}"
            if training.setup.is_commanded:  # what a user asked for, rather than what a plugin does
                raise UserError(fault) from None
            return Sources(fault=fault)
        teachers = tuple(source for requirement, source in found if not requirement.warm_start)
        start = next((source for requirement, source in found if requirement.warm_start), None)
        return Sources(teachers, start, networks)

    def _source(self, setting: Setting, requirement: Requirement, training: Training) -> TeacherSource:
        """The cell that a requirement stands for, planned if need be; or the file given for its model."""
        model = requirement.model
        is_plain = replace(requirement, same_seed=False, auxiliary=False) == Requirement(model)
        if is_plain and model in self.resolved.files:
            file = self.resolved.files[model]
            return TeacherSource(model, sha256=file.sha256, path=file.path, auxiliary=requirement.auxiliary)
        spec = self.resolved.methods.get(requirement.method).spec
        required = Training(
            method=requirement.method,
            setup=Setup(completed(spec, requirement.parameters, f"required by '{training.method}'"), defaults(spec)),
            student=self.resolved.models.get(model).spec.name,
            teachers=tuple(r.model for r in requirement.teachers),
            seed=training.seed if requirement.same_seed else self.resolved.teacher_seed,
            role=requirement.role,
            subset=requirement.subset,
            requirements=requirement.teachers or None,
        )
        return TeacherSource(model, cell=self._add(setting, required).key, auxiliary=requirement.auxiliary)

    def _reason(self, cell: Cell, method: Method | None) -> str | None:
        """Why the cell will not run: its models do not fit the data or the method, or what it requires will not run."""
        for key in cell.requires:
            if self.cells[key].skip:
                return f"{self.cells[key].cell.label} will not run: {self.cells[key].skip}"
        if method is None:
            return None
        left_out = untrainable(cell.method, method.terms, cell.document["method"]["without"])
        return left_out or self.compatibility(cell, method)

    # -- identity -----------------------------------------------------------------------------------------------------

    def _cell(self, setting: Setting, training: Training, sources: Sources, regime: str) -> Cell:
        document = self.documents.of_cell(setting, training, sources)
        stamp = document["method"]["plugin"]
        scenario = self.resolved.scenarios[setting.scenario]
        return Cell(
            key=digest(document),
            benchmark=self.resolved.benchmark,
            protocol=self.documents.protocol(document),
            deviations="; ".join(self.documents.deviations(setting, training, bool(sources.teachers))),
            dataset=setting.dataset,
            dataset_parameters=self.resolved.datasets[setting.dataset].parameters,
            scenario=setting.scenario,
            role=training.role,
            method=training.method,
            variant=training.setup.variant,
            parameters=training.setup.values,
            method_package=str(stamp.get("package", self.resolved.methods.get(training.method).package)),
            method_revision=str(stamp.get("revision", stamp.get("version", stamp.get("digest", "")))),
            student=training.student,
            teachers=sources.teachers,
            seed=training.seed,
            regime=_regime(regime, scenario, len(sources.teachers)),
            document=document,
            start=sources.start,
        )


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
