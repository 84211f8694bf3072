"""The plans of a results folder, one file for each command that asked for something else."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from kdharness.errors import UserError
from kdharness.planning.cell import STUDENT, Cell
from kdharness.planning.plan import PLAN_SCHEMAS, Plan, PlannedCell
from kdharness.results.files import write_atomic
from kdharness.results.reading import Fault, JsonReader
from kdharness.results.seal import DIGEST, sealed
from kdharness.text import now

FILE_TIME = "%Y%m%dT%H%M%S.%fZ"


class PlanFiles:
    """`plans/<time>.json`; their names order them."""

    def __init__(self, folder: Path, reader: JsonReader) -> None:
        self.folder = folder
        self._reader = reader

    def paths(self) -> list[Path]:
        """Oldest first. UserError for a folder that the system does not show."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"cannot read {self.folder}: {error.strerror}") from error
        return [self.folder / name for name in names if name.endswith(".json") and not name.startswith(".")]

    def write(self, plan: Plan) -> Path:
        """Keeps the plan and says where. The same plan made by the same command as the newest one is not kept twice."""
        paths, text = self.paths(), sealed(plan.to_json())
        newest = self._reader.read_sealed(paths[-1], _as_it_is, PLAN_SCHEMAS) if paths else None
        if newest is not None and _timeless(newest) == _timeless(json.loads(text)):
            return paths[-1]
        path = self.folder / f"{_file_time(paths)}.json"
        write_atomic(path, text)
        return path

    def read(self) -> tuple[Plan, ...]:
        """Oldest first; one that cannot be read is warned of and left out."""
        return tuple(self.by_path().values())

    def by_path(self) -> dict[Path, Plan]:
        """Those that can be read by their files, oldest first."""
        shared = self._reader.shared.planned
        plans = ((path, self._reader.read_sealed(path, self._plan_of, PLAN_SCHEMAS, shared)) for path in self.paths())
        return {path: plan for path, plan in plans if plan is not None}

    def _plan_of(self, data: Mapping[str, Any], is_sealed: bool) -> Plan:
        """ValueError for what is no plan."""
        return Plan.from_json({k: v for k, v in data.items() if k != DIGEST}, is_sealed)

    def faults(self) -> dict[Path, Fault]:
        """Why those cannot be used that could not be read the last time."""
        return {path: fault for path in self.paths() if (fault := self._reader.faults.get(path)) is not None}


def planned_cells(plans: Iterable[Plan]) -> dict[str, PlannedCell]:
    """The union of the plans (oldest first): a newer plan's cells replace an older one's at the same address, and what
    only these required goes with them.

    A cell that some plan asks for by name is no step, whatever a newer plan needs it for.
    """
    planned: dict[str, PlannedCell] = {}
    taken = _Taken()
    ordered = tuple(plans)
    for number, plan in enumerate(reversed(ordered), 1):
        kept = ((entry, taken.left_of(entry.cell) if planned else entry.cell) for entry in plan.cells)
        left = [entry if cell is entry.cell else replace(entry, cell=cell) for entry, cell in kept if cell is not None]
        if len(left) < len(plan.cells):
            left = _without_orphans(plan, left, planned)
        for entry in left:
            key = entry.cell.key
            if key not in planned:
                planned[key] = entry
            elif (both := planned[key].cell.beside(entry.cell)) is not planned[key].cell:
                planned[key] = replace(planned[key], cell=both)
        for entry in left if number < len(ordered) else ():
            taken.add(entry.cell)
    return planned


class _Taken:
    """Where newer plans have cells. A student that has no teacher of its pair is the same for every teacher: another
    one in its place, with teachers or without, is another edition of its method (which could not say what it requires).
    """

    def __init__(self) -> None:
        self._addresses: set[str] = set()
        self._places: set[str] = set()
        self._untaught: set[str] = set()
        self._cells: dict[int, Cell] = {}

    def add(self, cell: Cell) -> None:
        places = cell.places.values()
        self._cells[id(cell)] = cell
        self._addresses.update(map(cell.address_at, places))
        if cell.role == STUDENT:
            (self._places if cell.pair.teachers else self._untaught).update(places)

    def left_of(self, cell: Cell) -> Cell | None:
        """An older plan's cell as it stands where none of them stands in its place; None where they all do."""
        if id(cell) in self._cells:  # of a large folder most plans have the very same cells
            return None
        places = cell.places
        left = {track: variant for track, variant in cell.standings.items() if not self._hides(cell, places[track])}
        if len(left) == len(cell.standings):
            return cell
        return cell.standing_in(left) if left else None

    def _hides(self, cell: Cell, place: str) -> bool:
        """Whether one of them stands there."""
        if cell.role == STUDENT and (place in self._untaught or (place in self._places and not cell.pair.teachers)):
            return True
        return cell.address_at(place) in self._addresses


def _without_orphans(plan: Plan, left: Sequence[PlannedCell], newer: Container[str]) -> list[PlannedCell]:
    """Those left of a plan, without cells that the plan had only for others, none of which is left."""
    required = {key for entry in plan.cells for key in entry.cell.requires}
    needed: set[str] = set()
    found = []
    for entry in reversed(left):  # what requires comes after what is required
        cell = entry.cell
        if cell.role == STUDENT or cell.key not in required or cell.key in needed or cell.key in newer:
            needed.update(cell.requires)
            found.append(entry)
    return found[::-1]


def _as_it_is(data: Mapping[str, Any], is_sealed: bool) -> Mapping[str, Any]:
    return data


def _timeless(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in plan.items() if k not in ("created_at", DIGEST)}


def _file_time(paths: list[Path]) -> str:
    """Now, or just after the newest plan where the clock was set back."""
    written = now().strftime(FILE_TIME)
    if not paths or paths[-1].stem < written:
        return written
    newest = paths[-1].stem
    try:
        return (datetime.strptime(newest, FILE_TIME) + timedelta(microseconds=1)).strftime(FILE_TIME)
    except (ValueError, OverflowError):  # a name that is no time, or the last one that there is
        return f"{newest}~"
