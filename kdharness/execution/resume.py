"""Which planned cells are to be run, given the records that are there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from kdharness.execution.schedule import unavailable_reason
from kdharness.matrix.cell import Cell
from kdharness.matrix.plan import Plan
from kdharness.results.record import Record, Status


class Rerun(StrEnum):
    """Which finished cells are run again."""

    FAILED = "failed"
    ALL = "all"


FAILURES = {Status.FAILED, Status.OOM, Status.TIMEOUT}


@dataclass(frozen=True)
class Resumption:
    """to_run: in the plan's order. kept: by key, how the others stand. unavailable: why some of them are not ok."""

    to_run: tuple[Cell, ...]
    kept: Mapping[str, Status]
    unavailable: Mapping[str, str]


def resume(
    plan: Plan, records: Mapping[str, Record], has_weights: Callable[[str], bool], rerun: Rerun | None = None
) -> Resumption:
    """Keeps what is ok or skipped, runs what is interrupted or absent, and failures only if they are to be run again.

    A cell that is ok but whose weights are gone is run again when a cell that is to be run requires them.
    """
    to_run: list[Cell] = []
    kept: dict[str, Status] = {}
    unavailable: dict[str, str] = {}
    needed: set[str] = set()
    # Backwards, for what requires comes after what is required.
    for planned in reversed(plan.cells):
        cell = planned.cell
        if planned.skip:
            kept[cell.key] = Status.SKIPPED
            unavailable[cell.key] = unavailable_reason(cell, Status.SKIPPED, planned.skip)
            continue
        record = records.get(cell.key)
        status = record.status if record is not None else Status.NOT_RUN
        lacking = cell.key in needed and status is Status.OK and not has_weights(cell.key)
        if _runs(status, rerun) or lacking:
            to_run.append(cell)
            needed.update(cell.requires)
            continue
        kept[cell.key] = status
        if status is not Status.OK and record is not None:
            reason = unavailable_reason(cell, status, record.error_message)
            unavailable[cell.key] = f"{reason} (--rerun failed tries it again)" if status in FAILURES else reason
    return Resumption(tuple(reversed(to_run)), kept, unavailable)


def _runs(status: Status, rerun: Rerun | None) -> bool:
    if rerun is Rerun.ALL or status in (Status.NOT_RUN, Status.INTERRUPTED):
        return True
    return rerun is Rerun.FAILED and status in FAILURES
