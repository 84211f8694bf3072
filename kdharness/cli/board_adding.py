"""`kdharness leaderboard add`: checks somebody's rows, and puts them beside those that a leaderboard is made from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kdharness.errors import UserError
from kdharness.text import printable

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry
    from kdharness.results.expected import Expected
    from kdharness.results.rows import Row
    from kdharness.results.submission import Submission

TABLE, BOARD = "results.csv", "leaderboard.csv"


@dataclass(frozen=True)
class AddOptions:
    """to: the folder of the leaderboard, or the leaderboard.csv in it. benchmark: its file, where it does not come with
    kdharness. trusts_keys: whether keys may stand that cannot be made anew.
    """

    to: Path
    benchmark: str = ""
    plugin_files: tuple[Path, ...] = ()
    data_root: Path = Path("data")
    trusts_keys: bool = False

    @property
    def folder(self) -> Path:
        """UserError for what can be no leaderboard's."""
        folder = self.to.parent if self.to.suffix == ".csv" else self.to
        if self.to.suffix == ".csv" and self.to.name != BOARD:
            raise UserError(f"--to {self.to}: a folder, or the {BOARD} in it; {TABLE} lies beside it")
        if any((folder / name).is_dir() for name in ("cells", "plans")):
            raise UserError(f"--to {self.to} is a run's folder, whose tables are made of its records; name another")
        return folder


def add_to_board(paths: Sequence[Path], options: AddOptions) -> None:
    """Adds all of the files, or writes nothing: UserError with a line for each row that cannot be added."""
    from kdharness.registry.manager import Registry
    from kdharness.results.store import ResultsFolder, to_stderr
    from kdharness.results.submission import read_submission

    if not paths:
        raise UserError("kdharness leaderboard add: name a results folder, a bundle of one, or a results.csv")
    folder = options.folder
    registry = Registry.load(options.plugin_files)
    handed = [(path, read_submission(path)) for path in paths]
    _refuse(f"{path}: {fault}" for path, each in handed for fault in _faults(each, registry, options))
    with ResultsFolder(folder).lock(lambda _: to_stderr(f"something else is writing {folder}; waiting for it to end")):
        _add(folder, handed, registry)


def _add(folder: Path, handed: Sequence[tuple[Path, Submission]], registry: Registry) -> None:
    """The caller holds the folder."""
    from kdharness.results.adding import Addition, add
    from kdharness.results.foreign_rows import sound_rows

    table = folder / TABLE
    whole = Addition(sound_rows(table) if table.is_file() else (), 0, 0)
    lines: list[str] = []
    for path, submission in handed:
        result, found = add(whole.rows, submission.rows)
        whole = Addition(result.rows, whole.added + result.added, whole.known + result.known)
        lines += [f"{path}: {fault}" for fault in found]
    _refuse(lines)
    _write(folder, whole.rows, registry)
    print(printable(f"{folder}: {whole.added} rows added, {whole.known} known already"), file=sys.stderr)


def _refuse(faults: Iterable[str]) -> None:
    """UserError with all of them; nothing where there are none."""
    if lines := list(faults):
        what = "1 thing is wrong" if len(lines) == 1 else f"{len(lines)} things are wrong"
        raise UserError("\n".join([f"nothing is added: {what}", *lines]))


def _faults(submission: Submission, registry: Registry, options: AddOptions) -> list[str]:
    from kdharness.results.adding import faults_of
    from kdharness.results.row_faults import faults_of_row

    if not submission.rows:
        return ["it has no rows"]
    # Planning needs rows that can be read.
    is_sound = not any(True for row in submission.rows for _ in faults_of_row(row))
    names = submission.benchmarks if is_sound else ()
    expected = {name: _expected(name, submission, registry, options) for name in names}
    return list(faults_of(submission, expected, options.trusts_keys))


def _expected(name: str, submission: Submission, registry: Registry, options: AddOptions) -> Expected:
    """What this release plans of a benchmark: the very cells, as far as their methods are installed, and the references
    beside them. UserError for a benchmark that is not known, and what planning says.
    """
    from kdharness.planning import make_plan
    from kdharness.planning.cell import STUDENT
    from kdharness.planning.selection import Selection
    from kdharness.protocol.benchmark import available, load
    from kdharness.protocol.track import PUBLISHED
    from kdharness.results.expected import Expected, choices_of
    from kdharness.results.row_faults import text_of

    if options.benchmark:
        benchmark = load(options.benchmark)
    elif name in available():
        benchmark = load(name)
    else:
        raise UserError(f"benchmark '{name}' does not come with kdharness; --benchmark FILE.toml says what it is")
    rows = [row for row in submission.rows if text_of(row, "benchmark") == name]
    students = [row for row in rows if text_of(row, "role") == STUDENT]
    installed = _installed({text_of(row, "method") for row in rows} | set(benchmark.references), registry)
    published = any(text_of(row, "track") == PUBLISHED for row in students)
    selection = Selection(
        choices=choices_of(rows, benchmark.references, installed),
        seeds=_seeds(students) or benchmark.seeds,
        track="both" if published else None,
        data_root=options.data_root,
    )
    plan = make_plan(benchmark, selection, registry)
    return Expected({entry.cell.key: entry.cell for entry in plan.cells}, installed)


def _installed(methods: set[str], registry: Registry) -> frozenset[str]:
    found = set()
    for name in methods:
        try:
            registry.get("method", name)
        except UserError:
            continue
        found.add(name)
    return frozenset(found)


def _seeds(rows: Sequence[Row]) -> tuple[int, ...]:
    return tuple(sorted({int(float(str(row["seed"]))) for row in rows}))


def _write(folder: Path, rows: Sequence[Row], registry: Registry) -> None:
    """The table of cells, and the leaderboard that `kdharness leaderboard` makes of it."""
    from kdharness.report.leaderboard import merge
    from kdharness.results.contents import Contents
    from kdharness.results.store import to_stderr
    from kdharness.results.table import frame_of, write_csv
    from kdharness.stats.board import leaderboard

    write_csv(frame_of(rows), folder / TABLE)
    merged = merge([Contents(folder, foreign=folder / TABLE)])
    for warning in merged.warnings[1:]:  # the first says that there are no records
        to_stderr(warning)
    columns = registry.known("leaderboard_column")
    write_csv(leaderboard(merged.frame, merged.references, columns, to_stderr), folder / BOARD)
    for name in (TABLE, BOARD):
        print(printable(f"wrote {folder / name}"), file=sys.stderr)
