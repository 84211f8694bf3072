"""From what is resolved to a plan. Nothing here looks a name up elsewhere, reads a file or asks the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from kdharness.api.requirements import Pair, Requirement
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.planning.asked import NO_LAYERS
from kdharness.planning.cell import (
    SPREAD,
    STEP,
    TEACHER,
    Cell,
    TeacherSource,
    digest,
    keeps_images_private,
    saw_private,
)
from kdharness.planning.cell_facts import pair_of, references_of, regime_of
from kdharness.planning.choices import ChosenMethod
from kdharness.planning.declared import all_of, whole
from kdharness.planning.documents import Documents
from kdharness.planning.extent import Extent, TooMuchRequired, check_cells
from kdharness.planning.optimizers import optimizers_of
from kdharness.planning.phases import unlike_recipe
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.planning.resolve import Resolved
from kdharness.planning.training import Setting, Sources, Training
from kdharness.planning.training_data import check_subset, on_own_subset
from kdharness.protocol.track import DEFAULT_TRACK
from kdharness.protocol.variant import Layer, Setup, set_up, untrainable

if TYPE_CHECKING:  # it loads torch
    from kdharness.api.method import Method

# Why a cell's method cannot serve its models, or None.
Compatibility = Callable[[Cell, "Method"], str | None]


def expand(resolved: Resolved, compatibility: Compatibility, command: Sequence[str] = (), created_at: str = "") -> Plan:
    """All cells, required ones first. UserError for an empty matrix."""
    return _Expansion(resolved, compatibility).plan(tuple(command), created_at)


class _Expansion:
    """The cells made so far, by key; the teachers that each rests on, nearest first; the parts of an ablation that each
    is.
    """

    def __init__(self, resolved: Resolved, compatibility: Compatibility) -> None:
        self.resolved = resolved
        self.documents = Documents(resolved)
        self.compatibility = compatibility
        self.cells: dict[str, PlannedCell] = {}
        self.rests_on: dict[str, tuple[TeacherSource, ...]] = {}
        self.parts: dict[str, list[str]] = {}
        self.extent = Extent()
        self.warnings = dict.fromkeys(resolved.warnings)

    def plan(self, command: tuple[str, ...], created_at: str) -> Plan:
        resolved = self.resolved
        for dataset in resolved.datasets:
            for scenario in resolved.scenarios:
                for recipe in resolved.recipes.students:
                    for pair in resolved.pairs:
                        self._add_students(dataset, scenario, recipe, pair)
                        self._add_spread(dataset, scenario, recipe, pair)
        if not self.cells:
            raise UserError("nothing is left to run: " + "; ".join(resolved.warnings))
        resolved.optimizers.check_used(n for p in self.cells.values() for n in p.cell.document["optimizers"])
        return Plan(
            benchmark=resolved.benchmark,
            cells=tuple(self.cells.values()),
            summary=resolved.summary,
            note=resolved.note,
            references=resolved.references,
            metrics=resolved.metrics,
            warnings=tuple(self.warnings),
            command=command,
            created_at=created_at,
            claims=resolved.claims,
            ablated=resolved.ablated,
            parts={key: tuple(names) for key, names in self.parts.items()},
        )

    # -- cells --------------------------------------------------------------------------------------------------------

    def _add_students(self, dataset: str, scenario: str, recipe: str, pair: Pair) -> None:
        for chosen in self.resolved.chosen:
            setup = chosen.setups.get(pair)
            if setup is None or scenario not in chosen.scenarios:
                continue
            for seed in self.resolved.seeds:
                self._add_student(Setting(dataset, scenario, recipe, pair, seed), chosen, setup)

    def _add_spread(self, dataset: str, scenario: str, recipe: str, pair: Pair) -> None:
        """The first student seed of plain methods once more under each teacher of the spread. Where the rule gives it
        that teacher, or it has none, it is the student's own cell.
        """
        spread, seed = self.resolved.spread, self.resolved.seeds[0]
        for chosen in self.resolved.chosen:
            setup = chosen.setups.get(pair)
            if setup is None or setup.variant or chosen.part:
                continue
            if scenario not in chosen.scenarios or not spread.has(chosen.name):
                continue
            training = Training(chosen.name, setup, pair.student, pair.teachers, seed, SPREAD, track=chosen.track)
            for teacher_seed in spread.seeds:
                self._add(Setting(dataset, scenario, recipe, pair, seed, teacher_seed), training)

    def _add_student(self, setting: Setting, chosen: ChosenMethod, setup: Setup) -> None:
        pair = setting.pair
        training = Training(chosen.name, setup, pair.student, pair.teachers, setting.seed, track=chosen.track)
        cell = self._add(setting, training)
        names = self.parts.setdefault(cell.key, []) if chosen.part else []
        if chosen.part not in names:
            names.append(chosen.part)

    def _add(self, setting: Setting, training: Training) -> Cell:
        """Plans a cell that is asked for, after the cells that it requires, and returns it. One that requires too much
        is planned without them, as one that will not run.
        """
        before = len(self.cells)
        try:
            return self._planned(setting, training)
        except TooMuchRequired as error:
            fault = f"method '{training.method}' requires too much: {error}"
        if training.setup.is_commanded:
            raise UserError(fault)
        for key in list(islice(self.cells, before, None)):
            del self.cells[key]
        return self._planned(setting, training, fault)

    def _planned(self, setting: Setting, training: Training, fault: str = "") -> Cell:
        """A cell, planned after those that it requires. What is asked for by name is no step.

        fault: why it will not run, where that is known before its method is asked.
        """
        with self.extent.within():
            return self._expanded(setting, training, fault)

    def _expanded(self, setting: Setting, training: Training, fault: str) -> Cell:
        method, failed = self._made(training)
        if training.setup.fault:
            self.warnings[training.setup.fault] = None
        fault = fault or failed
        training = on_own_subset(training, method)
        if method is not None and (line := unlike_recipe(method)):
            self.warnings[line] = None
        sources = Sources(fault=fault) if method is None or fault else self._sources(setting, training, method)
        teachers = self._teachers_of(sources)
        cell = self._cell(setting, training, sources, teachers, method)
        known = self.cells.get(cell.key)
        if known is None:
            check_cells(len(self.cells) + 1)
            self.cells[cell.key] = PlannedCell(cell, sources.fault or self._reason(cell, method) or "")
            self.rests_on[cell.key] = teachers
        elif not training.setup.fault:
            self.cells[cell.key] = replace(known, cell=known.cell.beside(cell))
        return cell

    def _teachers_of(self, sources: Sources) -> tuple[TeacherSource, ...]:
        """The teachers that a cell rests on, through however many steps; those that it reads itself come first."""
        each = [*sources.teachers, *([sources.start] if sources.start else [])]
        own = [s for s in each if s.sha256 or self.cells[s.cell].cell.role == TEACHER]
        further = [teacher for s in each if s.cell for teacher in self.rests_on[s.cell]]
        return tuple(dict.fromkeys((*own, *further)))

    def _made(self, training: Training) -> tuple[Method | None, str]:
        """The method with its parameters; or None, and what it raised."""
        if training.setup.fault:
            return None, training.setup.fault
        spec = self.resolved.methods.get(training.method).spec
        method = attempt(partial(whole, spec, training.setup.values))
        if isinstance(method, Failure):
            return None, f"method '{training.method}' cannot be made: {method.error}"
        return method, ""

    def _sources(self, setting: Setting, training: Training, method: Method) -> Sources:
        """What the method requires, planned if need be."""
        pair, known = Pair(training.teachers, training.student), training.requirements
        demands: list[tuple[Any, ...]] = []
        for name, kind, ask in (
            ("requires()", Requirement, method.requires if known is None else lambda pair: known),
            ("networks()", str, method.networks),
            ("optimizers()", str, partial(optimizers_of, method)),
        ):
            found = attempt(partial(all_of, kind, ask, pair))
            if isinstance(found, Failure):
                return Sources(fault=f"method '{training.method}' failed in {name}: {found.error}")
            demands.append(found)
        return self._found(setting, training, method, *demands)

    def _found(
        self,
        setting: Setting,
        training: Training,
        method: Method,
        requirements: tuple[Requirement, ...],
        networks: tuple[str, ...],
        optimizers: tuple[str, ...],
    ) -> Sources:
        """What a method demands, looked up; cells that it requires are planned."""
        try:
            check_subset(self.resolved, setting, training.subset)
            found = [(r, self._source(setting, r, training)) for r in requirements]
            for name in networks:
                self.resolved.models.get(name)
            networks = tuple(map(self.resolved.models.name_of, networks))
            self.resolved.optimizers.document(optimizers)
            views = self._views(setting, training, method)
        except UserError as error:
            fault = f"method '{training.method}' requires what there is not: {error}"
            if training.setup.is_commanded:  # what a user asked for, rather than what a plugin does
                raise UserError(fault) from None
            return Sources(fault=fault)
        teachers = tuple(source for requirement, source in found if not requirement.warm_start)
        start = next((source for requirement, source in found if requirement.warm_start), None)
        return Sources(teachers, start, networks, optimizers, views)

    def _views(self, setting: Setting, training: Training, method: Method) -> tuple[str, ...]:
        """The names of the views that the method reads. UserError for one that there is not."""
        views = self.resolved.views
        read = method.reads.view_names(self.documents.recipe(setting, training).augmentation)
        names = tuple(sorted({views.name_of(name) for name in read}))
        for name in names:
            views.get(name)
        return names

    def _source(self, setting: Setting, requirement: Requirement, training: Training) -> TeacherSource:
        """The cell that a requirement stands for, planned if need be; or the file given for its model."""
        models = self.resolved.models
        model = models.name_of(requirement.model)
        is_plain = replace(requirement, same_seed=False) == Requirement(requirement.model)
        if is_plain and model in self.resolved.files:
            file = self.resolved.files[model]
            network = self.documents.network(model)
            return TeacherSource(model, "", file.sha256, file.path, file.chosen, network)
        models.get(model)
        check_subset(self.resolved, setting, requirement.subset)
        pair = Pair(tuple(models.name_of(r.model) for r in requirement.teachers), model)
        own = setting.teacher_seed
        required = Training(
            method=self.resolved.methods.name_of(requirement.method),
            setup=self._required_setup(requirement, pair, training.method),
            student=pair.student,
            teachers=pair.teachers,
            seed=training.seed if requirement.same_seed else self.resolved.seeding.of_teacher(setting.seed, own),
            role=TEACHER if requirement.role == TEACHER else STEP,
            subset=requirement.subset,
            requirements=requirement.teachers or None,
        )
        return TeacherSource(model, cell=self._planned(setting, required).key, network=self.documents.network(model))

    def _required_setup(self, requirement: Requirement, pair: Pair, asker: str) -> Setup:
        """The parameters of a required cell: the method's as the benchmark has them, and what the requirement says."""
        spec = self.resolved.methods.get(requirement.method).spec
        layers = self.resolved.layers.get(self.resolved.methods.name_of(requirement.method), NO_LAYERS)
        base = layers.get(pair, layers[None])
        choice = Layer.of(requirement.parameters, f"required by '{asker}'")
        setup = set_up(spec, base, NO_LAYERS[None], choice)
        assert setup is not None  # only parts of an ablation may have none
        return setup

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

    def _cell(
        self,
        setting: Setting,
        training: Training,
        sources: Sources,
        teachers: tuple[TeacherSource, ...],
        method: Method | None,
    ) -> Cell:
        """teachers: those that it rests on."""
        pair = pair_of(training, teachers)
        document = self.documents.of_cell(setting, training, sources)
        installed = self.resolved.methods.get(training.method)
        scenario = self.resolved.scenarios[setting.scenario]
        return Cell(
            key=digest(document),
            benchmark=self.resolved.benchmark,
            protocol=self.documents.protocol(setting, training, document),
            deviations="; ".join(
                self.documents.deviations(setting, training, bool(pair.teachers), document["optimizers"])
            ),
            dataset=setting.dataset,
            dataset_parameters=self.resolved.datasets[setting.dataset].parameters,
            scenario=setting.scenario,
            role=training.role,
            method=training.method,
            variant=training.setup.variant,
            parameters=training.setup.values,
            method_package=installed.provider,
            method_revision=installed.revision,
            pair=pair,
            teachers=sources.teachers,
            seed=training.seed,
            regime=regime_of("" if method is None else method.regime, scenario, len(pair.teachers)),
            document=document,
            recipe_name="" if training.role == TEACHER else setting.recipe,
            seeding=self.resolved.seeding.drawn(scenario),
            start=sources.start,
            reference_teachers=references_of(pair, teachers),
            weight_files=self.resolved.networks.files,
            seen_data=self.resolved.networks.seen_data,
            sheltered=self._sheltered(document, sources, method),
            secret=method is not None and method.secret_noise,
            accounted=method is not None and method.trains_on == document["subset"] and saw_private(document),
            teacher_seed=None if training.role == TEACHER else setting.teacher_seed,
            tracks={} if training.track == DEFAULT_TRACK else {training.track: training.setup.variant},
            by_pair=training.setup.by_pair,
        )

    def _sheltered(self, document: Mapping[str, Any], sources: Sources, method: Method | None) -> bool:
        """Whether its networks saw private images, or begin with some that did, or hold copies of their own of them."""
        if not keeps_images_private(document):
            return False
        held = [*([sources.start] if sources.start else [])]
        if method is not None and method.private_teacher:
            held += sources.teachers
        return saw_private(document) or any(not s.cell or self.cells[s.cell].cell.sheltered for s in held)
