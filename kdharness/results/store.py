"""A benchmark's results folder on disk: its plans, its cells' records, and what is running now."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from kdharness.errors import UserError
from kdharness.planning.plan import PLAN_SCHEMA, Plan, PlannedCell
from kdharness.results.files import write_atomic, writing
from kdharness.results.history import History
from kdharness.results.progress import describe, running_elsewhere, stamped
from kdharness.results.record import RECORD_SCHEMA, Record

PLAN_TIME = "%Y%m%dT%H%M%S.%fZ"

Read = TypeVar("Read")


def to_stderr(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


class ResultsFolder:
    """One `<out>/<benchmark>` folder. Making one touches no disk; writing makes the folders it needs.

    warn: called with one line for each file that cannot be used, once per file.
    """

    def __init__(self, path: Path | str, warn: Callable[[str], None] = to_stderr) -> None:
        self.path = Path(path)
        self.plans_path = self.path / "plans"
        self.cells_path = self.path / "cells"
        self.progress_path = self.path / "progress.json"
        self.results_csv = self.path / "results.csv"
        self.metrics_csv = self.path / "metrics.csv"
        self.leaderboard_csv = self.path / "leaderboard.csv"
        self.warn = warn

    def __repr__(self) -> str:
        return f"ResultsFolder({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.path.resolve().name

    # Where a cell keeps its things.

    def cell_path(self, key: str) -> Path:
        return self.cells_path / key

    def record_path(self, key: str) -> Path:
        return self.cell_path(key) / "record.json"

    def history_path(self, key: str) -> Path:
        return self.cell_path(key) / "history.csv"

    def model_path(self, key: str) -> Path:
        return self.cell_path(key) / "model.safetensors"

    def predictions_path(self, key: str) -> Path:
        return self.cell_path(key) / "predictions.npz"

    def log_path(self, key: str) -> Path:
        return self.cell_path(key) / "log.txt"

    def traceback_path(self, key: str) -> Path:
        return self.cell_path(key) / "traceback.txt"

    def checkpoint_path(self, key: str) -> Path:
        return self.cell_path(key) / "checkpoint"

    # Plans.

    def plan_paths(self) -> list[Path]:
        """Oldest first."""
        return sorted(self.plans_path.glob("[!.]*.json"))

    def write_plan(self, plan: Plan) -> Path:
        """Keeps the plan and says where. The same plan made by the same command as the newest one is not kept twice."""
        paths, data = self.plan_paths(), plan.to_json()
        newest = self._read(paths[-1], Plan.from_json, PLAN_SCHEMA) if paths else None
        if newest is not None and _timeless(newest.to_json()) == _timeless(data):
            return paths[-1]
        path = self.plans_path / f"{_plan_time(paths)}.json"
        write_atomic(path, _dumps(data))
        return path

    def plans(self) -> list[Plan]:
        """Oldest first; one that cannot be read is warned of and left out."""
        plans = (self._read(path, Plan.from_json, PLAN_SCHEMA) for path in self.plan_paths())
        return [plan for plan in plans if plan is not None]

    def planned(self) -> dict[str, PlannedCell]:
        """By key, the cells of all plans. At one address only the newest plan's cells count."""
        return planned_cells(self.plans())

    # Records.

    def write_record(self, record: Record) -> None:
        """Atomic: a reader finds the former record or this one. Numbers that are not finite are left out."""
        key, data = record.cell.key, record.to_json()
        data["metrics"] = [row for row in data["metrics"] if math.isfinite(row["value"])]
        traceback = self.traceback_path(key)
        if record.traceback:
            write_atomic(traceback, record.traceback)
        write_atomic(self.record_path(key), _dumps(data))
        if not record.traceback:
            traceback.unlink(missing_ok=True)  # of an earlier attempt

    def read_record(self, key: str) -> Record | None:
        """None when there is none, or none that can be read (a warning). UserError for another schema version."""
        path = self.record_path(key)
        record = self._read(path, Record.from_json, RECORD_SCHEMA)
        if record is not None and record.cell.key != key:
            self._warn_once(f"{path} holds the record of cell {record.cell.key}; it counts as absent")
            return None
        return record

    def records(self) -> dict[str, Record]:
        """By key, every record that can be read, stale ones too."""
        keys = sorted(path.parent.name for path in self.cells_path.glob("*/record.json"))
        found = ((key, self.read_record(key)) for key in keys)
        return {key: record for key, record in found if record is not None}

    def stale(self) -> dict[str, Record]:
        """Records whose key no plan produces any more. They stay on disk and enter no table."""
        planned = self.planned()
        return {key: record for key, record in self.records().items() if key not in planned}

    # A cell's curves.

    def history(self, key: str) -> History:
        return History(self.history_path(key))

    def write_history(self, key: str, rows: History.Rows) -> None:
        """Adds rows (epoch, split, predictor, metric, value)."""
        self.history(key).write(rows)

    # What is running.

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Adds updated_at, pid and host where they are missing. Atomic."""
        write_atomic(self.progress_path, _dumps(stamped(progress)))

    def read_progress(self) -> dict[str, Any] | None:
        """None when nothing was written, or nothing that can be read."""
        try:
            data = json.loads(self.progress_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def running(self) -> dict[str, Any] | None:
        """The progress of the run that is at work on this folder now, None when none is."""
        progress = self.read_progress()
        return progress if progress is not None and running_elsewhere(progress) else None

    @contextmanager
    def lock(self, on_wait: Callable[[str], None] = to_stderr) -> Iterator[None]:
        """Held by the run that writes. A second one waits and says so once. It goes with the process that held it."""
        with writing(self.path / ".lock"):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                on_wait(f"{describe(self.read_progress())} is writing {self.path}; waiting for it to end")
                lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()

    # Reading.

    def _read(self, path: Path, parse: Callable[[Mapping[str, Any]], Read], schema: int) -> Read | None:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(data, dict):
                raise ValueError("not an object")
            found = data.get("schema")
            if isinstance(found, int) and found != schema:
                raise UserError(f"{path} has schema version {found}, this release of kdharness reads {schema}")
            return parse(data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            self._warn_once(f"{path} cannot be read and counts as absent ({error})")
            return None

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.warn(message)

    @cached_property
    def _warned(self) -> set[str]:
        return set()


def planned_cells(plans: list[Plan]) -> dict[str, PlannedCell]:
    """The union of the plans (oldest first): a newer plan's cells replace an older one's at the same address."""
    planned: dict[str, PlannedCell] = {}
    taken: set[str] = set()
    for plan in reversed(plans):
        fresh = [p for p in plan.cells if p.cell.address not in taken]
        for entry in fresh:
            planned.setdefault(entry.cell.key, entry)
        taken.update(p.cell.address for p in fresh)
    return planned


def find_folders(path: Path | str, warn: Callable[[str], None] = to_stderr) -> list[ResultsFolder]:
    """The benchmark folders at `path`: itself, or those right below it. UserError when there is none.

    A folder with a results.csv alone (somebody else's table) counts when it is named itself.
    """
    path = Path(path)
    if path.is_file() and path.name == "results.csv":
        path = path.parent
    if _holds_cells(path) or (path / "results.csv").is_file():
        return [ResultsFolder(path, warn)]
    below = sorted(p for p in path.iterdir() if _holds_cells(p)) if path.is_dir() else []
    if not below:
        what = "holds no results" if path.exists() else "does not exist"
        raise UserError(f"'{path}' {what}; 'kdharness run --out {path}' makes some")
    return [ResultsFolder(p, warn) for p in below]


def _holds_cells(path: Path) -> bool:
    return (path / "plans").is_dir() or (path / "cells").is_dir()


def _timeless(plan: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in plan.items() if k != "created_at"}, sort_keys=True)


def _plan_time(paths: list[Path]) -> str:
    """Now, or just after the newest plan where the clock was set back: names order plans."""
    now = datetime.now(UTC).replace(tzinfo=None)
    if paths:
        with suppress(ValueError):  # a file of another name is nothing to be later than
            now = max(now, datetime.strptime(paths[-1].stem, PLAN_TIME) + timedelta(microseconds=1))
    return now.strftime(PLAN_TIME)


def _dumps(data: Mapping[str, Any]) -> str:
    """JSON of plain data and of numbers as arrays hold them. A number that is not finite is left out of its mapping."""
    return json.dumps(_finite(data), default=lambda number: number.item(), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items() if not _is_wild(v)}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value if not _is_wild(v)]
    return value


def _is_wild(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
