"""Which planned cells are to be run, given the records that are there already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kdharness.execution.rerun import Rerun
from kdharness.execution.schedule import unavailable_reason
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.results.bound import LOST, outdated
from kdharness.results.record import Record, Status

# What is said of cells that are kept though they were to be made again.
SECRET = "kept, for its noise is secret: another training would be another release, of more budget"

# What is said of cells that were taught by weights that were made again since.
STALE = "stale, for a teacher has other weights now than it was trained with; it is trained again"

FAILURES = {Status.FAILED, Status.OOM, Status.TIMEOUT}


@dataclass(frozen=True)
class Resumption:
    """What a run has to do.

    to_run: in the plan's order.
    kept: by key, how the other cells stand.
    unavailable: by key, why some of these are not ok.
    notes: lines on ok cells that are run again, on those that are not though this was asked, and on lost weights that
        nothing needs.
    """

    to_run: tuple[Cell, ...]
    kept: Mapping[str, Status]
    unavailable: Mapping[str, str]
    notes: tuple[str, ...] = ()


def resume(
    plan: Plan, records: Mapping[str, Record], fault: Callable[[Record], str], rerun: Rerun | None = None
) -> Resumption:
    """Keeps what is ok or skipped, runs what is interrupted or absent, and failures only if they are to be run again.

    An ok cell is run again too: when its weights are not those of its record; when they are lost and a cell that is to
    be run requires them; when what it was trained with was trained again since, with other weights. For no other reason
    is one with secret noise.

    fault: what is wrong with the weights of an ok record, as `weights_fault` says.
    """
    to_run: list[Cell] = []
    kept: dict[str, Status] = {}
    unavailable: dict[str, str] = {}
    wrong: dict[str, list[Cell]] = {}
    bound = _Bound(plan, records, fault)
    # Backwards, for what requires comes after what is required.
    for planned in reversed(plan.cells):
        cell = planned.cell
        if planned.skip:
            kept[cell.key] = Status.SKIPPED
            unavailable[cell.key] = unavailable_reason(cell, Status.SKIPPED, planned.skip)
            continue
        record = records.get(cell.key)
        status = record.status if record is not None else Status.NOT_RUN
        runs = _runs(status, rerun)
        secret = runs and status is Status.OK and cell.secret
        if record is not None and status is Status.OK and (secret or not runs):
            text, runs = bound.fault(record)
            wrong.setdefault(text or SECRET * secret, []).append(cell)
        if runs:
            to_run.append(cell)
            bound.needed.update(cell.requires)
            continue
        kept[cell.key] = status
        if status is not Status.OK and record is not None:
            reason = unavailable_reason(cell, status, record.error_message)
            unavailable[cell.key] = f"{reason} (--rerun failed tries it again)" if status in FAILURES else reason
    notes = tuple(about(cells[::-1], text) for text, cells in wrong.items() if text)
    return Resumption(tuple(reversed(to_run)), kept, unavailable, notes)


class _Bound:
    """What the ok records of a plan are tied to. needed: keys of what the cells that are to be run require."""

    def __init__(self, plan: Plan, records: Mapping[str, Record], fault: Callable[[Record], str]) -> None:
        self.needed: set[str] = set()
        self._required = {key for planned in plan.cells for key in planned.cell.requires}
        self._outdated = outdated(records)
        self._fault = fault

    def fault(self, record: Record) -> tuple[str, bool]:
        """What is wrong with an ok record, in words, and whether its cell is run again for it."""
        key = record.cell.key
        if key in self._outdated:
            return STALE, True
        if key not in self._required and not record.weights:
            return "", False
        found = self._fault(record)
        if found == LOST and key not in self.needed:
            return "its weights are lost; nothing that is to be run needs them", False
        return (f"its weights are {found}; it is trained again", True) if found else ("", False)


def about(cells: Sequence[Cell], text: str) -> str:
    """'kd conv32:conv16 digits seed 0 and 3 more: ...'."""
    more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
    return f"{cells[0].label}{more}: {text}"


def unmeasured(plan: Plan, records: Mapping[str, Record], resumption: Resumption) -> str:
    """One line on finished cells that are kept though they lack metrics that the plan asks for; '' when none does.

    Metrics are no part of a cell's key, and most need the trained networks, which are not kept.
    """
    ok = [records[key] for key, status in resumption.kept.items() if status is Status.OK and key in records]
    again = [record for record in ok if record.measured and not record.cell.secret]  # --rerun all makes no others
    lacking = {record.cell.key: [m for m in plan.metrics if m not in record.measured] for record in again}
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
