"""What `run` and `ablate` share once they have a plan: where it runs, what is said, and the exit code."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from kdharness.api.data import DatasetMissing
from kdharness.api.executors import Executor, TeacherUse, WorkerSettings
from kdharness.cli.options import RunOptions, check_timeout, data_root, listed, warn
from kdharness.cli.precision import check_precision
from kdharness.cli.recipe_lines import recipe_lines
from kdharness.cli.teacher_claims import teacher_claims
from kdharness.device.names import max_group, slots
from kdharness.errors import UserError
from kdharness.execution.display import make_display
from kdharness.execution.rerun import Rerun
from kdharness.execution.resume import resume, unmeasured
from kdharness.execution.run import execute
from kdharness.failures import Failure, attempt
from kdharness.planning import make_plan
from kdharness.planning.cell import STEP, TEACHER, Cell
from kdharness.planning.networks import network_text
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.planning.selection import Selection
from kdharness.planning.teacher_outputs import ONLINE, as_settings
from kdharness.planning.teacher_uses import TeacherReads, teacher_uses
from kdharness.process.collector import seldom_collected
from kdharness.protocol.benchmark import STANDARD, Benchmark, load
from kdharness.protocol.seeds import parse_seeds
from kdharness.registry.loggers import check_loggers, start_loggers
from kdharness.registry.manager import Registry
from kdharness.report.leaderboard import write_tables
from kdharness.results.contents import Contents
from kdharness.results.store import ResultsFolder
from kdharness.text import printable, put, seeds_text


@dataclass(frozen=True)
class RunCommand:
    """A command, understood: the benchmark, what is selected of it, the plugins, and how it is to run."""

    benchmark: Benchmark
    selection: Selection
    registry: Registry
    options: RunOptions


def understand(benchmark: str, options: RunOptions) -> RunCommand:
    """UserError for what no command can mean."""
    if options.rerun is Rerun.ALL and not (options.yes or options.dry_run) and sys.stdin.isatty():
        typer.confirm("Run every cell again and replace its record?", abort=True)
    with seldom_collected():
        registry = Registry.load(options.plugin or ())
    loaded = load(benchmark)
    selection = Selection(
        methods=listed(options.methods),
        skip=listed(options.skip) or (),
        datasets=listed(options.datasets),
        pairs=listed(options.pairs),
        scenarios=listed(options.scenarios),
        recipe=options.recipe,
        recipes=listed(options.recipes),
        teacher_seeds=options.teacher_seeds,
        scenario_seeds=options.scenario_seeds,
        seeds=_seeds("--seeds", options.seeds),
        teacher_spread=_seeds("--teacher-spread", options.teacher_spread),
        track=options.track,
        settings=(*(options.settings or ()), *as_settings(options.teacher_outputs, loaded.recipe)),
        epochs=options.epochs,
        teachers=tuple(options.teacher or ()),
        data_root=data_root(options.data),
        download=options.download,
    )
    return RunCommand(loaded, selection, registry, options)


def _seeds(option: str, text: str | None) -> tuple[int, ...] | None:
    """UserError for what are no seeds."""
    try:
        return None if text is None else parse_seeds(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from None


def carry_out(command: RunCommand, show: Callable[[Contents], None] | None = None) -> int:
    """Plans and runs, or shows the plan. Returns the exit code.

    show: prints the results; by default the whole report.
    """
    options = command.options
    _check_temporary_folder()
    _check_out(options.out)
    check_timeout(options.timeout)
    with seldom_collected():  # it loads torch
        plan = make_plan(command.benchmark, command.selection, command.registry, sys.argv[1:], read_weights=True)
    request = RunRequest(
        plan=plan,
        registry=command.registry,
        out=options.out,
        devices=slots(options.device, options.workers, in_process=options.executor == "inline"),
        executor=options.executor,
        data_root=command.selection.data_root,
        download=options.download,
        plugin_files=tuple(path.resolve() for path in options.plugin or ()),
        timeout_seconds=options.timeout,
        teacher_top1_floor=command.benchmark.teacher_top1_floor,
        rerun=options.rerun,
        show=show or _report,
        teacher_claims=teacher_claims(options.teacher_top1 or (), plan),
        keeps_outputs=options.teacher_outputs != ONLINE,
        loggers=listed(options.log) or (),
    )
    check_loggers(request.loggers, request.registry)
    request.registry.get("executor", request.executor, "--executor")
    check_precision(request.plan, request.devices)
    return dry(request) if options.dry_run else run_plan(request)


def _check_out(out: Path) -> None:
    """UserError for what is no folder, and can be none: the run would be refused at its first file."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"--out {out}: {there} is no folder")


def _check_temporary_folder() -> None:
    """UserError where there is none: torch makes files there when it is loaded, and every cell would fail."""
    try:
        tempfile.gettempdir()
    except OSError as error:
        raise UserError(f"no temporary folder can be written (TMPDIR names one): {error.strerror}") from None


@dataclass(frozen=True)
class RunRequest:
    """A plan and how to run it.

    plan: what to run.
    registry: the plugins.
    out: the root of the results.
    devices: one per worker.
    executor: its name.
    data_root: the folder of all data.
    download: whether what is not there may be downloaded.
    plugin_files: of --plugin.
    timeout_seconds: limit on one cell's own time; None for none.
    teacher_top1_floor: percent that a teacher from a file must reach; None for chance and a tenth of the rest.
    rerun: which finished cells are run again; None for none.
    show: prints the results.
    teacher_claims: by "dataset/model", percent that a teacher from a file is said to reach.
    keeps_outputs: whether what teachers say is kept where that pays.
    loggers: names of those that hear of it.
    """

    plan: Plan
    registry: Registry
    out: Path
    devices: tuple[str, ...]
    executor: str
    data_root: Path
    download: bool
    plugin_files: tuple[Path, ...]
    timeout_seconds: float | None
    teacher_top1_floor: float | None
    rerun: Rerun | None
    show: Callable[[Contents], None]
    teacher_claims: tuple[tuple[str, float], ...] = ()
    keeps_outputs: bool = True
    loggers: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return self.out / self.plan.benchmark

    def settings(self, lock: int) -> WorkerSettings:
        """lock: the inode of the folder's, which the caller holds."""
        required = {key for planned in self.plan.cells for key in planned.cell.requires}
        teachers = {planned.cell.key for planned in self.plan.cells if planned.cell.role == "teacher"}
        return WorkerSettings(
            folder=self.folder.resolve(),
            data_root=self.data_root,
            devices=self.devices,
            download=self.download,
            plugin_files=self.plugin_files,
            metrics=self.plan.metrics,
            timeout_seconds=self.timeout_seconds,
            teacher_top1_floor=self.teacher_top1_floor,
            teacher_claims=self.teacher_claims,
            keep_weights=frozenset(required | teachers),
            lock=lock,
            teachers=self.teacher_uses(),
        )

    @cached_property
    def students(self) -> list[Cell]:
        return [p.cell for p in self.plan.cells if not p.skip and p.cell.role != TEACHER]

    @cached_property
    def _reads(self) -> TeacherReads:
        return TeacherReads(self.registry)

    def teacher_uses(self) -> tuple[TeacherUse, ...]:
        """Of the teachers whose outputs may be kept."""
        if not self.keeps_outputs:
            return ()
        return tuple(teacher_uses(self.students, self._reads.of, max_group(self.devices)))

    def of_rows(self) -> frozenset[str]:
        """Keys of the cells for which a table of what teachers say will do, where it is kept."""
        cells = self.students if self.keeps_outputs else ()
        return frozenset(cell.key for cell in cells if self._reads.of(cell)[1])


def run_plan(request: RunRequest) -> int:
    """Runs what is not done yet, writes the tables, prints the report. Returns the exit code."""
    _warn_of_plugins_and_plan(request)
    folder = ResultsFolder(request.folder)
    with folder.lock(lambda message: print(message, file=sys.stderr)):
        folder.sweep()
        with folder.planned(request.plan):
            settings = request.settings(folder.held)
            executor = _executor(request, settings)
            start_loggers(request.loggers, request.registry)
            outcome = execute(
                request.plan,
                folder,
                settings,
                executor,
                request.registry,
                make_display(),
                request.rerun,
                of_rows=request.of_rows(),
            )
        folder.check_held()
        folder.progress.remove()
        contents = folder.load()
        write_tables(contents, request.registry.known("leaderboard_column"))
    request.show(contents)
    return outcome.exit_code


def _executor(request: RunRequest, settings: WorkerSettings) -> Executor:
    """UserError for one that does not start."""
    registered = request.registry.get("executor", request.executor, "--executor")
    made = attempt(lambda: registered.spec.factory(settings))
    if isinstance(made, Failure):
        message = f"executor '{request.executor}' of {registered.source} does not start: {made.error}"
        raise UserError(message) from made.exception
    found: Executor = made
    return found


def _report(contents: Contents) -> None:
    from kdharness.report.terminal import show
    from kdharness.report.view import report_of

    show(report_of(contents), Console(), whole=False)


def dry(request: RunRequest) -> int:
    """Prints what would run, what is done, and why the rest will not. Returns the exit code."""
    folder = ResultsFolder(request.folder)
    attempt(_executor(request, request.settings(lock=0)).stop)
    records = {p.cell.key: folder.read_record(p.cell.key) for p in request.plan.cells}
    known = {key: record for key, record in records.items() if record is not None}
    resumption = resume(request.plan, known, folder.weights_fault, request.rerun)
    waiting = {cell.key for cell in resumption.to_run}
    groups: dict[tuple[str, ...], list[int]] = {}
    for planned in request.plan.cells:
        cell = planned.cell
        groups.setdefault(_row(planned, cell.key in waiting), []).append(
            cell.seed if cell.teacher_seed is None else cell.teacher_seed
        )
    table = Table(title=Text(f"plan of '{request.plan.benchmark}'"), title_justify="left")
    for column in ("role", "method", "pair", "data", "seeds", "will"):
        table.add_column(column, overflow="fold")
    for (role, method, pair, data, action), seeds in groups.items():
        table.add_row(*(Text(printable(text)) for text in (role, method, pair, data, seeds_text(seeds), action)))
    console = Console()
    put(console, table)
    skipped = sum(bool(p.skip) for p in request.plan.cells)
    kept = len(request.plan.cells) - skipped - len(waiting)
    console.print(
        f"{len(request.plan.cells)} cells: {len(waiting)} to run, {kept} done, {skipped} skipped", highlight=False
    )
    for line in recipe_lines(request.plan):
        console.print(Text(printable(line)))
    _warn_of_plugins_and_plan(request)
    for line in (*resumption.notes, unmeasured(request.plan, known, resumption)):
        if line:
            warn(line)
    return 1 if _warn_of_faults(request, resumption.to_run) else 0


def _warn_of_faults(request: RunRequest, cells: Sequence[Cell]) -> bool:
    """Warns of what a run would fail with before its first step; whether there is such. Where there is none, says what
    becomes of teachers' outputs.
    """
    from kdharness.device.door import open_device  # loads torch, as does what follows
    from kdharness.engine.foreseen import foreseen
    from kdharness.engine.table_lines import table_lines
    from kdharness.engine.world import World

    device = open_device(request.devices[0])
    device.use()
    folder, floor, claims = ResultsFolder(request.folder), request.teacher_top1_floor, request.teacher_claims
    world = World(request.registry, folder, request.data_root, device, teacher_top1_floor=floor, teacher_claims=claims)
    fails = False
    for line in foreseen(cells, world, lambda text: print(printable(text), file=sys.stderr, flush=True)):
        warn(f"its cells would fail: {line}")
        fails = True
    if not fails:
        with suppress(DatasetMissing):  # it is to be downloaded
            for line in table_lines(request.students, request.teacher_uses(), world):
                print(printable(line))
    return fails


def _warn_of_plugins_and_plan(request: RunRequest) -> None:
    for warning in dict.fromkeys((*request.registry.warnings, *request.plan.warnings)):
        warn(warning)


def _row(planned: PlannedCell, waiting: bool) -> tuple[str, ...]:
    cell = planned.cell
    method = f"{cell.method}[{cell.variant}]" if cell.variant else cell.method
    student = network_text(cell.network(cell.student))
    known = {source.model: network_text(source.network) for source in (*cell.teachers, *cell.reference_teachers)}
    # A step has no pair of its own; what it is taught by says which one it is.
    teachers = cell.pair.teachers or tuple(source.model for source in cell.teachers if cell.role == STEP)
    names = "+".join(known.get(model, model) for model in teachers)
    pair = f"{names}:{student}" if names else student
    action = f"skip: {planned.skip}" if planned.skip else "run" if waiting else "keep its record"
    recipe = "" if cell.recipe_name in ("", STANDARD) else f" {cell.recipe_name}"
    tracks = "" if not cell.tracks else f" {'+'.join(cell.tracks)}"
    return cell.role, method, pair, f"{cell.dataset} {cell.scenario}{recipe}{tracks}", action
