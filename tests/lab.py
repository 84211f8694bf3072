"""A tiny world on the CPU, in which every method trains end to end in about a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdharness.api.executors import CellFinished, Event, Job, WorkerSettings
from kdharness.engine.group import train_group
from kdharness.planning.cell import Cell
from kdharness.planning.expand import expand
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark, load
from kdharness.registry.manager import Registry
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder


@dataclass
class Lab:
    """Trains cells in this process, into a folder of its own.

    metrics: names; None for all but those on request.
    events: all that was emitted; beats: the cells that were stepping, in order.
    """

    path: Path
    plugin_files: tuple[Path, ...] = ()
    checkpoint_seconds: float = 1e9
    timeout_seconds: float | None = None
    metrics: tuple[str, ...] | None = None
    events: list[Event] = field(default_factory=list)
    beats: list[int | None] = field(default_factory=list)
    on_event: Callable[[Event], None] = lambda event: None

    def __post_init__(self) -> None:
        self.registry = Registry.load(self.plugin_files)
        self.folder = ResultsFolder(self.path)

    def plan(self, benchmark: str | Benchmark = "digits", **selection: object) -> Plan:
        given = {"epochs": 2, "seeds": (0,), **selection}
        protocol = load(benchmark) if isinstance(benchmark, str) else benchmark
        return expand(protocol, Selection(**given), self.registry)  # type: ignore[arg-type]

    def train(self, cells: Sequence[Cell], alone: bool = False) -> dict[str, Record]:
        """Runs the cells as one group; their final records by key."""
        usual = tuple(name for name, metric in self.registry.metrics.items() if not metric.spec.on_request)
        settings = WorkerSettings(
            folder=self.path,
            data_root=self.path,
            devices=("cpu",),
            plugin_files=self.plugin_files,
            metrics=usual if self.metrics is None else self.metrics,
            timeout_seconds=self.timeout_seconds,
            checkpoint_seconds=self.checkpoint_seconds,
            keep_weights=frozenset(cell.key for cell in cells),
        )
        records: dict[str, Record] = {}

        def emit(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, CellFinished):
                records[event.record.cell.key] = event.record
            self.on_event(event)

        train_group(Job(0, tuple(cells), {}, alone), settings, "cpu", emit, self.beats.append)
        return records

    def train_plan(self, plan: Plan) -> dict[str, Record]:
        """In few groups: teachers, students, then students that others had to come before."""
        waiting = [p.cell for p in plan.cells if not p.skip]
        records: dict[str, Record] = {}
        while waiting:
            missing = {cell.key for cell in waiting}
            ready = [cell for cell in waiting if not missing.intersection(cell.requires)]
            group = [cell for cell in ready if cell.role == "teacher"] or ready
            records.update(self.train(group))
            waiting = [cell for cell in waiting if cell not in group]
        return records

    def bits(self, key: str) -> dict[str, bytes]:
        """All that a cell's training left behind, but for times: weights, history, predictions."""
        paths = (self.folder.model_path(key), self.folder.history_path(key), self.folder.predictions_path(key))
        return {path.name: path.read_bytes() for path in paths}
