"""A benchmark's results folder on disk: its plans, its cells' records, and what is running now."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kdharness.errors import UserError
from kdharness.planning.plan import Plan
from kdharness.process.collector import collector_paused
from kdharness.results import kept
from kdharness.results.bound import weights_fault
from kdharness.results.contents import Contents, Reading
from kdharness.results.files import write_atomic, writing
from kdharness.results.leftovers import sweep
from kdharness.results.paths import CellFiles, TableFiles
from kdharness.results.plans import PlanFiles
from kdharness.results.progress import ProgressFile, describe
from kdharness.results.pruning import Pruning, pruning
from kdharness.results.reading import JsonReader
from kdharness.results.record import RECORD_SCHEMAS, Record, Status
from kdharness.results.seal import file_digests, sealed
from kdharness.results.sharing import Shared
from kdharness.results.shelter import shelter
from kdharness.text import printable


def to_stderr(message: str) -> None:
    print(printable(f"warning: {message}"), file=sys.stderr)


class ResultsFolder:
    """One `<out>/<benchmark>` folder. Making one touches no disk; writing makes the folders it needs.

    warn: called with one line for each file that cannot be used, once per file.
    held: the inode of the lock that this process, or the run that it works for, holds; 0 for none.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = to_stderr, held: int = 0) -> None:
        self.path = Path(path)
        self.cells_path = self.path / "cells"
        self.held = held
        self._reader = JsonReader(warn)
        self.plans = PlanFiles(self.path / "plans", self._reader)
        self.progress = ProgressFile(self.path / "progress.json", self._reader)
        self.tables = TableFiles(self.path)

    def __repr__(self) -> str:
        return f"ResultsFolder({str(self.path)!r})"

    def cell(self, key: str) -> CellFiles:
        """Where a cell keeps its things."""
        return CellFiles(self.cells_path / key)

    def load(self, trusts_digests: bool = True) -> Contents:
        """Everything in it, read once. A results.csv is read where there is no plan. UserError for files of another
        schema version; others that cannot be used are warned of and left out.

        trusts_digests: whether what matches its digest needs no look at its types; of a stranger's folder it does.
        """
        self._reader.trusts_digests = trusts_digests
        reading = self._read()
        alone = not self.plans.paths() and not self.cell_keys() and self.tables.results.is_file()
        return Contents(self.path, lambda: reading, self.progress.running(), self.tables.results if alone else None)

    def load_kept(self) -> Contents:
        """Likewise; of a large folder on which no run is at work, what is kept of its present state is not read anew
        until something else of it is asked for.
        """
        keys = self.cell_keys()
        if len(keys) < kept.LEAST_CELLS or self.progress.running() is not None:
            return self.load()
        plans, cells = map(os.path.abspath, self.plans.paths()), os.path.abspath(self.cells_path)
        found = kept.Kept.of(self.path, (*plans, *(os.path.join(cells, key, "record.json") for key in keys)))
        if found.head is not None:
            return Contents(self.path, self._read, kept=found, read_record=self.read_record)
        contents = self.load()
        # What cannot be read is to be said each time.
        return contents if contents.faults or self.plans.faults() else replace(contents, kept=found)

    def _read(self) -> Reading:
        with collector_paused():
            plans, keys = self.plans.read(), self.cell_keys()
            records, faults = self._records(keys), self._reader.faults
            paths = {key: self.cell(key).record for key in keys}
            return Reading(plans, records, {key: faults[path] for key, path in paths.items() if path in faults})

    @contextmanager
    def planned(self, plan: Plan) -> Iterator[None]:
        """Keeps the plan for the run within. One that ends by an error before any of its cells left a record takes its
        plan along: a mistyped command is no part of what was asked.
        """
        before = self.plans.paths()
        path = self.plans.write(plan)
        try:
            yield
        except BaseException:
            begun = any(self.cell(entry.cell.key).record.exists() for entry in plan.cells)
            if path not in before and not begun and not self.is_lost:
                path.unlink(missing_ok=True)
            raise

    def pruning(self, damaged: bool = False) -> Pruning:
        """What former commands left undone, and may go. damaged: what cannot be read goes, too."""
        contents = self.load()
        return pruning(contents, self.plans.by_path(), self.plans.faults(), damaged)

    # Records.

    def write_record(self, record: Record) -> None:
        """Atomic: a reader finds the former record or this one. Numbers that are not finite are left out.

        UserError where the folder is lost.
        """
        self.check_held()
        files, data = self.cell(record.cell.key), record.to_json()
        data["metrics"] = [row for row in data["metrics"] if math.isfinite(row["value"])]
        if record.traceback:
            write_atomic(files.traceback, record.traceback)
        # The files of a cell at work change with each epoch.
        data["files"] = {} if record.status is Status.INTERRUPTED else self._file_digests(record)
        write_atomic(files.record, sealed(data))
        if not record.traceback:
            files.traceback.unlink(missing_ok=True)  # of an earlier attempt

    def _file_digests(self, record: Record) -> dict[str, str]:
        files = self.cell(record.cell.key)
        with writing(files.record):
            found = file_digests(files)
        return found if record.traceback else {k: v for k, v in found.items() if k != files.traceback.name}

    def read_record(self, key: str) -> Record | None:
        """A cell's record; None when there is none, or none that can be read (a warning).

        UserError for another schema version.
        """
        path = self.cell(key).record
        return self._reader.read_sealed(path, partial(_record_of, key, self._reader.shared), RECORD_SCHEMAS)

    def records(self) -> dict[str, Record]:
        """Every record that can be read, by key, stale ones too."""
        return self._records(self.cell_keys())

    def _records(self, keys: Iterable[str]) -> dict[str, Record]:
        found = ((key, self.read_record(key)) for key in keys)
        return {key: record for key, record in found if record is not None}

    def cell_keys(self) -> list[str]:
        """Of the cells that have a folder, whatever it holds."""
        try:
            with os.scandir(self.cells_path) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"cannot read {self.cells_path}: {error.strerror}") from error

    def shelter(self, key: str) -> None:
        """Puts what a cell learned from private images where nobody else looks, now and for what is to come."""
        shelter(self.cell(key))

    def set_aside(self, key: str) -> None:
        """Puts an ok record that is to be made again beside its place (record.1.json, record.2.json, ...), and one that
        cannot be read, for it may have been ok before somebody edited it.

        At its place no ok record is written over. The checkpoint of an ok one goes: training begins anew.
        """
        self.check_held()
        record, files = self.read_record(key), self.cell(key)
        if record is not None and record.status is not Status.OK:
            return
        with writing(files.record):
            if record is not None:
                files.checkpoint.unlink(missing_ok=True)
            if os.path.lexists(files.record):
                files.record.replace(files.former_record())

    def weights_fault(self, record: Record) -> str:
        """What is wrong with the weights of a cell that is ok, as `bound.weights_fault` says."""
        return weights_fault(self.cell(record.cell.key), record)

    def sweep(self) -> int:
        """Removes what processes that died left half written; the caller holds the lock. Returns how many files."""
        return sweep(self.path)

    @contextmanager
    def lock(self, on_wait: Callable[[str], None] = to_stderr) -> Iterator[None]:
        """Held by the run that writes. A second one waits and says so once. It goes with the process that held it."""
        with writing(self.path / ".lock"):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                on_wait(f"{describe(self.progress.read())} is writing {self.path}; waiting for it to end")
                lock.acquire(poll_interval=0.2)
            self.held = _inode(self.path / ".lock")
        try:
            yield
        finally:
            self.held = 0
            lock.release()

    @property
    def is_lost(self) -> bool:
        """Whether the folder that is locked was removed or replaced since: what is there now may be another run's."""
        return self.held != 0 and _inode(self.path / ".lock") != self.held

    def check_held(self) -> None:
        """UserError where it is lost."""
        if self.is_lost:
            raise UserError(f"{self.path} was removed or replaced while this run wrote to it; the run stops")


def _inode(path: Path) -> int:
    """Which file this is, whatever its name, on every machine that sees it; 0 for none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _record_of(key: str, shared: Shared, data: Mapping[str, Any], is_sealed: bool) -> Record:
    """ValueError for what is not the record of this cell."""
    record = Record.from_json(shared.record(data), is_sealed)
    if record.cell.key != key:
        raise ValueError(f"it is the record of cell {record.cell.key}")
    return record
