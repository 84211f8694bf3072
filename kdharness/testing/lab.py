"""The lab: trains the cells of a plan in this process, into a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kdharness.api.executors import CellFinished, Event, TeacherUse, WorkerSettings
from kdharness.device.device import Device
from kdharness.device.door import open_device
from kdharness.device.random import default_generators_kept
from kdharness.engine.group import Group
from kdharness.engine.world import World
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell
from kdharness.planning.cell_group import CellGroup
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, load
from kdharness.registry.manager import Registry
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder

CPU = open_device("cpu")


@dataclass
class Lab:
    """Trains cells without a run around them: no other process, no schedule, no terminal.

    path: the results folder that it writes.
    plugin_files: single-file plugins beside the installed ones.
    given: a registry to use in place of those.
    device: what it trains on.
    checkpoint_seconds: least time between two checkpoints of a cell; 0 for one after every epoch.
    timeout_seconds: limit on one cell's own time.
    metrics: names; None for all but those on request.
    teachers: whose outputs are kept where that pays.
    events: all that was told, in order. on_event: called with each; what it raises ends the training.
    beats: the number of the cell that was stepping, in order.
    """

    path: Path
    plugin_files: tuple[Path, ...] = ()
    given: Registry | None = None
    device: Device = CPU
    checkpoint_seconds: float = 1e9
    timeout_seconds: float | None = None
    metrics: tuple[str, ...] | None = None
    teachers: tuple[TeacherUse, ...] = ()
    events: list[Event] = field(default_factory=list)
    beats: list[int | None] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None

    def __post_init__(self) -> None:
        self.registry = Registry.load(self.plugin_files) if self.given is None else self.given
        self.folder = ResultsFolder(self.path)

    def plan(self, benchmark: str | Benchmark = "digits", **selection: object) -> Plan:
        """The plan of a benchmark. selection: fields of a Selection; two epochs and seed 0 unless they say more."""
        chosen = {"epochs": 2, "seeds": (0,), **selection}
        protocol = load(benchmark) if isinstance(benchmark, str) else benchmark
        return make_plan(protocol, Selection(**chosen), self.registry)  # type: ignore[arg-type]

    def train(self, cells: Sequence[Cell], alone: bool = False, anew: bool = True) -> dict[str, Record]:
        """Trains the cells as one group; their final records by key. What they require has been trained.

        anew: also those that are ok already.
        """
        records: dict[str, Record] = {}

        def emit(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, CellFinished):
                record = self.folder.read_record(event.key)
                assert record is not None  # it is on disk before the event
                records[event.key] = record
            self.on_event(event)

        for cell in cells if anew else ():
            self.folder.set_aside(cell.key)
        group, settings = self.group(cells, alone)
        with default_generators_kept(self.device.default_generators()):
            Group(group, settings, self._world, emit, self.beat).run()
        return records

    def train_plan(self, plan: Plan) -> dict[str, Record]:
        """Trains a plan in few groups: teachers, students, then students that others had to come before."""
        waiting = [p.cell for p in plan.cells if not p.skip]
        records: dict[str, Record] = {}
        while waiting:
            missing = {cell.key for cell in waiting}
            ready = [cell for cell in waiting if not missing.intersection(cell.requires)]
            group = [cell for cell in ready if cell.role == "teacher"] or ready
            records.update(self.train(group))
            waiting = [cell for cell in waiting if cell not in group]
        return records

    def take(self, other: Lab, cells: Sequence[Cell]) -> None:
        """Copies what these cells require from another lab, which has trained it."""
        for key in {key for cell in cells for key in cell.requires}:
            theirs, own = other.folder.cell(key), self.folder.cell(key)
            for source, target in ((theirs.folder, own.folder), (theirs.shelter, own.shelter)):
                if source.exists():
                    shutil.copytree(source, target, dirs_exist_ok=True)

    def bits(self, key: str) -> dict[str, bytes]:
        """All that a cell's training left behind, but for times: weights, history, predictions."""
        paths = (self.folder.cell(key).model, self.folder.cell(key).history, self.folder.cell(key).predictions)
        return {path.name: path.read_bytes() for path in paths}

    @cached_property
    def _world(self) -> World:
        return World(self.registry, self.folder, self.path, self.device, teacher_uses=self.teachers)

    def beat(self, cell: int | None) -> None:
        self.beats.append(cell)

    def group(self, cells: Sequence[Cell], alone: bool = False) -> tuple[CellGroup, WorkerSettings]:
        """What a worker would be given for them."""
        return CellGroup(0, tuple(cells), {}, alone), self._settings(cells)

    def _settings(self, cells: Sequence[Cell]) -> WorkerSettings:
        usual = tuple(name for name, metric in self.registry.metrics.items() if not metric.spec.on_request)
        return WorkerSettings(
            folder=self.path,
            data_root=self.path,
            devices=(self.device.name,),
            plugin_files=self.plugin_files,
            metrics=usual if self.metrics is None else self.metrics,
            timeout_seconds=self.timeout_seconds,
            checkpoint_seconds=self.checkpoint_seconds,
            keep_weights=frozenset(cell.key for cell in cells),
            teachers=self.teachers,
        )
