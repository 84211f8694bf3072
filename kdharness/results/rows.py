"""The rows of results.csv as plain data: one for every planned cell, whatever became of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from kdharness.planning.cell import Cell, canonical
from kdharness.planning.plan import PlannedCell
from kdharness.results.budgets import budget_of, noise_of
from kdharness.results.chains import chain_seconds
from kdharness.results.reading import Fault
from kdharness.results.record import VALUE_COLUMNS, Record, Status
from kdharness.results.seen_data import seen_data

Row = dict[str, Any]

# The status of a cell of which the system does not say whether there is a record. No record says it of itself.
UNREADABLE = "unreadable"
NONE: Mapping[str, Fault] = MappingProxyType({})


def rows_of(
    planned: Mapping[str, PlannedCell], records: Mapping[str, Record], faults: Mapping[str, Fault] = NONE
) -> Iterator[Row]:
    """Values by column name, of planned cells and what is on record of them: one for each track that a cell stands in.
    What a row lacks is empty.

    faults: by key, why there is a record that cannot be used.
    """
    cells = {key: entry.cell for key, entry in planned.items()}
    for key, entry in planned.items():
        row = _faulty_row(entry, faults[key]) if key in faults else _row(entry, planned, records)
        row["seen_data"] = seen_data(entry.cell, cells)
        for track, variant in entry.cell.standings.items():
            yield {**row, "track": track, "variant": variant}


def status_of(entry: PlannedCell, record: Record | None, fault: Fault | None = None) -> str:
    """What became of a planned cell: the record says, or that there is none."""
    if fault is not None and fault.refused:
        return UNREADABLE
    if record is not None:
        return record.status.value
    return (Status.SKIPPED if entry.skip else Status.NOT_RUN).value


def _row(entry: PlannedCell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record]) -> Row:
    record = records.get(entry.cell.key)
    row = {**cell_row(entry.cell), "status": status_of(entry, record)}
    if record is not None:
        row.update(_values(record))
        row.update(error_type=record.error_type, error_message=record.error_message)
        row.update(started_at=record.started_at, finished_at=record.finished_at)
        if record.status is Status.OK:
            row["chain_seconds"] = chain_seconds(entry.cell, planned, records)
            row.update(_privacy(entry.cell, record, planned, records))
        row["teacher_digest"] = _file_digest(entry.cell) or row["teacher_digest"]
    elif entry.skip:
        row.update(error_message=entry.skip)
    else:
        row.update(error_message=_obstacle(entry.cell, planned, records))
    return row


def _privacy(
    cell: Cell, record: Record, planned: Mapping[str, PlannedCell], records: Mapping[str, Record]
) -> dict[str, Any]:
    budget = budget_of(cell, planned, records)
    found = {} if budget is None else {"epsilon": budget.epsilon, "delta": budget.delta}
    return {**found, "noise": noise_of(cell, record)}


def _faulty_row(entry: PlannedCell, fault: Fault) -> Row:
    reason = f"record.json: {fault.reason}"
    return {**cell_row(entry.cell), "status": status_of(entry, None, fault), "error_message": reason}


def cell_row(cell: Cell) -> Row:
    """What a cell says of itself."""
    return {
        "benchmark": cell.benchmark,
        "protocol": cell.protocol,
        "deviations": cell.deviations,
        "dataset": cell.dataset,
        "scenario": cell.scenario,
        "recipe": cell.recipe_name,
        "seeding": cell.seeding,
        "role": cell.role,
        "method": cell.method,
        "method_package": cell.method_package,
        "method_revision": cell.method_revision,
        "parameters": sys.intern(canonical(cell.parameters)),
        "teacher": cell.teacher,
        "student": cell.student,
        "seed": cell.seed,
        "cell": cell.key,
        "teacher_cell": "+".join(source.cell for source in cell.reference_teachers if source.cell),
        "teacher_digest": _file_digest(cell),
        "source_cells": "+".join(dict.fromkeys(source.cell for source in cell.sources if source.cell)),
        "regime": cell.regime,
    }


def _file_digest(cell: Cell) -> str:
    """Digests of teachers from files, which are known from the start. A trained teacher's is known with its weights."""
    return "+".join(source.sha256[:16] for source in cell.reference_teachers if source.sha256)


def _values(record: Record) -> Row:
    return {k: v for k, v in record.values.items() if v is not None and (k in VALUE_COLUMNS or k.startswith("x_"))}


def _obstacle(
    cell: Cell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record], after: frozenset[str] = frozenset()
) -> str:
    """Why a cell cannot run: what became of a cell that it requires; '' when nothing stands in its way.

    after: keys of the cells that led here, which a damaged plan may lead back to.
    """
    after |= {cell.key}
    for source in cell.sources:
        record, entry = records.get(source.cell), planned.get(source.cell)
        what = f"{entry.cell.role if entry is not None else 'cell'} {source.model}"
        if record is not None and record.status in (Status.FAILED, Status.OOM, Status.TIMEOUT):
            return _joined(f"{what} {record.status.value}", record.error_message)
        if record is None and entry is not None:
            if entry.skip:
                return f"{what} skipped: {entry.skip}"
            if source.cell not in after and (reason := _obstacle(entry.cell, planned, records, after)):
                return reason
    return ""


def _joined(what: str, message: str) -> str:
    return f"{what}: {message}" if message else what
