"""Which data a benchmark's note is about: its own, and no other that a command adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan

# Of a note: the benchmark's name and the dataset's.
Subject = tuple[str, str]


def notes_of(plans: Iterable[Plan]) -> dict[Subject, str]:
    """The latest note on each dataset that has one. plans: oldest first."""
    found: dict[Subject, str] = {}
    for plan in plans:
        if plan.note:
            found.update({subject(entry.cell): plan.note for entry in plan.cells if _is_own(entry.cell)})
    return found


def common_note(notes: Mapping[Subject, str], subjects: Iterable[Subject]) -> str:
    """The note that all of these share; "" for none."""
    found = {notes.get(each, "") for each in subjects}
    return found.pop() if len(found) == 1 else ""


def subject(cell: Cell) -> Subject:
    return cell.benchmark, cell.dataset


def _is_own(cell: Cell) -> bool:
    """Whether the benchmark has the cell's dataset: another one is a deviation."""
    return f"dataset={cell.dataset}" not in cell.deviations.split("; ")
