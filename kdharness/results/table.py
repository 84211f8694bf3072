"""The tidy table of a results folder: one row for every planned cell, whatever became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from kdharness.errors import UserError
from kdharness.planning.cell import Cell, canonical
from kdharness.planning.plan import PlannedCell
from kdharness.results.files import write_atomic
from kdharness.results.record import COLUMNS, VALUE_COLUMNS, Record, Status
from kdharness.results.store import ResultsFolder

INTEGER_COLUMNS = ("seed", "epochs", "group_size", "peak_memory_bytes", "student_parameters", "student_macs")
FLOAT_COLUMNS = (
    "top1", "top5", "nll", "ece", "top1_last10", "top1_test_oracle", "val_top1", "teacher_top1", "teacher_agreement",
    "train_seconds", "shared_seconds", "images_per_second",
)  # fmt: skip
METRICS_COLUMNS = ("cell", "predictor", "split", "metric", "value")
ORDER = (
    "benchmark", "dataset", "scenario", "deviations", "protocol", "student", "teacher", "role", "method", "variant",
    "seed", "cell",
)  # fmt: skip

Row = dict[str, Any]


def table(folders: ResultsFolder | Sequence[ResultsFolder]) -> pd.DataFrame:
    """One row per planned cell: exactly COLUMNS, then the x_ columns by name. Numbers typed, text '' where empty.

    A folder that holds a results.csv and no plans (somebody else's table) gives the rows of that file.
    """
    each = [folders] if isinstance(folders, ResultsFolder) else list(folders)
    return frame_of([row for folder in each for row in _folder_rows(folder)])


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows by column name as the typed, ordered table. What a row lacks is empty."""
    rows = list(rows)
    extra = sorted({name for row in rows for name in row} - set(COLUMNS))
    data = {name: _column(name, [row.get(name) for row in rows]) for name in (*COLUMNS, *extra)}
    frame = pd.DataFrame(data, columns=[*COLUMNS, *extra])
    return frame.sort_values(list(ORDER), kind="stable", ignore_index=True)


def rows_of(planned: Mapping[str, PlannedCell], records: Mapping[str, Record]) -> list[Row]:
    """The table's rows, as plain data, of planned cells and what is on record of them."""
    return [_row(entry, planned, records) for entry in planned.values()]


def metrics_table(folder: ResultsFolder) -> pd.DataFrame:
    """The long form: cell, predictor, split, metric, value."""
    planned = folder.planned()
    rows = [
        (key, metric.predictor, metric.split, metric.metric, metric.value)
        for key, record in folder.records().items()
        if key in planned
        for metric in record.metrics
    ]
    return pd.DataFrame(rows, columns=list(METRICS_COLUMNS)).sort_values(list(METRICS_COLUMNS[:-1]), ignore_index=True)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Atomic; missing numbers are empty; lines end in a newline on every system."""
    write_atomic(path, frame.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path | str) -> pd.DataFrame:
    """A results.csv as `table` made it. UserError when it lacks a column."""
    try:
        # Everything as text first: a method may be called 'nan' or 'null', a variant may look like a number.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise UserError(f"{path} is no results table of this release: it lacks the columns {', '.join(missing)}")
    return frame_of({str(k): v for k, v in row.items()} for row in frame.to_dict("records"))


def _folder_rows(folder: ResultsFolder) -> list[Row]:
    if not folder.plan_paths() and folder.results_csv.is_file():
        frame = read_table(folder.results_csv)
        return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return rows_of(folder.planned(), folder.records())


def _row(entry: PlannedCell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record]) -> Row:
    record = records.get(entry.cell.key)
    row = _cell_row(entry.cell)
    if record is not None:
        row.update(_values(record))
        row.update(status=record.status.value, error_type=record.error_type, error_message=record.error_message)
        row.update(started_at=record.started_at, finished_at=record.finished_at)
        row["teacher_digest"] = _file_digest(entry.cell) or row["teacher_digest"]
    elif entry.skip:
        row.update(status=Status.SKIPPED.value, error_message=entry.skip)
    else:
        row.update(status=Status.NOT_RUN.value, error_message=_obstacle(entry.cell, planned, records))
    return row


def _cell_row(cell: Cell) -> Row:
    return {
        "benchmark": cell.benchmark,
        "protocol": cell.protocol,
        "deviations": cell.deviations,
        "dataset": cell.dataset,
        "scenario": cell.scenario,
        "role": cell.role,
        "method": cell.method,
        "variant": cell.variant,
        "method_package": cell.method_package,
        "method_revision": cell.method_revision,
        "parameters": canonical(cell.parameters),
        "teacher": cell.teacher,
        "student": cell.student,
        "seed": cell.seed,
        "cell": cell.key,
        "teacher_cell": "+".join(source.cell for source in cell.teachers if source.cell),
        "teacher_digest": _file_digest(cell),
        "regime": cell.regime,
    }


def _file_digest(cell: Cell) -> str:
    """Of external teachers, known from the start; a trained teacher's is known when its weights are."""
    return "+".join(source.sha256[:16] for source in cell.teachers if source.sha256)


def _values(record: Record) -> Row:
    return {k: v for k, v in record.values.items() if v is not None and (k in VALUE_COLUMNS or k.startswith("x_"))}


def _obstacle(cell: Cell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record]) -> str:
    """Why a cell cannot run: what became of a cell that it requires; '' when nothing stands in its way."""
    for source in cell.sources:
        record, entry = records.get(source.cell), planned.get(source.cell)
        if record is not None and record.status in (Status.FAILED, Status.OOM, Status.TIMEOUT):
            return _joined(f"teacher {source.model} {record.status.value}", record.error_message)
        if record is None and entry is not None:
            if entry.skip:
                return f"teacher {source.model} skipped: {entry.skip}"
            if reason := _obstacle(entry.cell, planned, records):
                return reason
    return ""


def _joined(what: str, message: str) -> str:
    return f"{what}: {message}" if message else what


def _column(name: str, values: Sequence[Any]) -> pd.Series[Any]:
    if name in INTEGER_COLUMNS:
        numbers = [_number(v) for v in values]
        whole = all(n is None or n.is_integer() for n in numbers)
        return pd.Series([None if n is None else int(n) for n in numbers], dtype="Int64") if whole else _floats(numbers)
    numbers = [_number(v) for v in values]
    empty = [_is_empty(v) for v in values]
    is_float = name in FLOAT_COLUMNS or (name.startswith("x_") and not all(empty))
    if is_float and all(e or n is not None for e, n in zip(empty, numbers, strict=True)):
        return _floats(numbers)
    if name in FLOAT_COLUMNS:
        raise UserError(f"column {name} holds what is not a number")
    if name == "parameters":
        return pd.Series(["" if v is None else v for v in values], dtype="object")
    return pd.Series(["" if e else _text(v) for e, v in zip(empty, values, strict=True)], dtype="object")


def _floats(numbers: Sequence[float | None]) -> pd.Series[Any]:
    return pd.Series([math.nan if n is None else n for n in numbers], dtype="float64")


def _number(value: Any) -> float | None:
    try:
        number = None if _is_empty(value) else float(value)
    except (TypeError, ValueError):
        return None
    return number if number is None or math.isfinite(number) else None


def _is_empty(value: Any) -> bool:
    return value is None or value is pd.NA or value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    """On one line, without what a CSV file or a terminal stumbles over."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
