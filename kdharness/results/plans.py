"""The plans of a results folder, one file for each command that asked for something else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kdharness.errors import UserError
from kdharness.planning.cell import STEP
from kdharness.planning.plan import PLAN_SCHEMAS, Plan, PlannedCell
from kdharness.results.files import dumps, write_atomic
from kdharness.results.reading import JsonReader
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
        paths, text = self.paths(), dumps(plan.to_json())
        newest = self._reader.read(paths[-1], dict, PLAN_SCHEMAS) if paths else None
        if newest is not None and _timeless(newest) == _timeless(json.loads(text)):
            return paths[-1]
        path = self.folder / f"{_file_time(paths)}.json"
        write_atomic(path, text)
        return path

    def read(self) -> tuple[Plan, ...]:
        """Oldest first; one that cannot be read is warned of and left out."""
        plans = (self._reader.read(path, Plan.from_json, PLAN_SCHEMAS) for path in self.paths())
        return tuple(plan for plan in plans if plan is not None)


def planned_cells(plans: Iterable[Plan]) -> dict[str, PlannedCell]:
    """The union of the plans (oldest first): a newer plan's cells replace an older one's at the same address.

    A cell that some plan asks for by name is no step, whatever a newer plan needs it for.
    """
    planned: dict[str, PlannedCell] = {}
    taken: set[str] = set()
    for plan in reversed(tuple(plans)):
        addresses = [entry.cell.address for entry in plan.cells]
        for entry, address in zip(plan.cells, addresses, strict=True):
            key = entry.cell.key
            if address in taken:
                continue
            if key not in planned:
                planned[key] = entry
            elif planned[key].cell.role == STEP:
                planned[key] = replace(planned[key], cell=entry.cell)
        taken.update(addresses)
    return planned


def _timeless(plan: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in plan.items() if k != "created_at"}


def _file_time(paths: list[Path]) -> str:
    """Now, or just after the newest plan where the clock was set back."""
    moment = now()
    if paths:
        with suppress(ValueError):  # a file of another name is nothing to be later than
            newest = datetime.strptime(paths[-1].stem, FILE_TIME).replace(tzinfo=UTC)
            moment = max(moment, newest + timedelta(microseconds=1))
    return moment.strftime(FILE_TIME)
