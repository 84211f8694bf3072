"""Which planned cells are to be run, given the records that are there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kdharness.execution.rerun import Rerun
from kdharness.execution.schedule import unavailable_reason
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.results.record import Record, Status

FAILURES = {Status.FAILED, Status.OOM, Status.TIMEOUT}


@dataclass(frozen=True)
class Resumption:
    """What a run has to do.

    to_run: in the plan's order.
    kept: by key, how the other cells stand.
    unavailable: by key, why some of these are not ok.
    """

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


def unmeasured(plan: Plan, records: Mapping[str, Record], resumption: Resumption) -> str:
    """One line on finished cells that are kept though they lack metrics that the plan asks for; '' when none does.

    Metrics are no part of a cell's key, and most need the trained networks, which are not kept.
    """
    ok = [records[key] for key, status in resumption.kept.items() if status is Status.OK and key in records]
    lacking = {r.cell.key: [m for m in plan.metrics if m not in r.measured] for r in ok if r.measured}
    cells = sum(bool(names) for names in lacking.values())
    names = [name for name in plan.metrics if any(name in found for found in lacking.values())]
    if not cells:
        return ""
    whose = "1 finished cell lacks" if cells == 1 else f"{cells} finished cells lack"
    return f"{whose} what this benchmark asks for now ({', '.join(names)}); --rerun all trains again and measures it"


def _runs(status: Status, rerun: Rerun | None) -> bool:
    if rerun is Rerun.ALL or status in (Status.NOT_RUN, Status.INTERRUPTED):
        return True
    return rerun is Rerun.FAILED and status in FAILURES
