"""What a folder may do without: cells of former commands that are not ok, and that the newest does not ask for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kdharness.planning.plan import Plan
from kdharness.results.contents import Contents
from kdharness.results.files import dumps, write_atomic, writing
from kdharness.results.paths import CellFiles
from kdharness.results.record import Status


@dataclass(frozen=True)
class Pruning:
    """What is to go.

    contents: the folder.
    plans: by file, what is left of each plan that changes; None where nothing is.
    cells: keys of the cells whose folders go.
    """

    contents: Contents
    plans: Mapping[Path, Plan | None]
    cells: tuple[str, ...]

    def carry_out(self) -> None:
        """The caller holds the folder's lock. UserError where something cannot be written."""
        for path, plan in self.plans.items():
            with writing(path):
                if plan is None:
                    path.unlink(missing_ok=True)
                else:
                    write_atomic(path, dumps(plan.to_json()))
        for key in self.cells:
            _remove(self.contents.files_of(key))


def _remove(files: CellFiles) -> None:
    """All but what a cell's noise has spent, which no removal of files gives back."""
    with writing(files.folder):
        if not files.begun.exists():
            shutil.rmtree(files.folder)
            return
        for path in files.folder.iterdir():
            if path != files.begun:
                path.unlink()


def pruning(contents: Contents, paths: Mapping[Path, Plan]) -> Pruning:
    """What of a folder can go; what is ok stays, and so does all that the newest plan asks for.

    paths: the plans that can be read, by file, oldest first.
    """
    newest = {entry.cell.key for entry in contents.newest.cells} if contents.newest else set()
    records = contents.records

    def stays(key: str) -> bool:
        record = records.get(key)
        return key in newest or (record is not None and record.status is Status.OK)

    left: dict[Path, Plan | None] = {}
    for path, plan in paths.items():
        cells = tuple(entry for entry in plan.cells if stays(entry.cell.key))
        if len(cells) < len(plan.cells):
            parts = {key: names for key, names in plan.parts.items() if stays(key)}
            left[path] = replace(plan, cells=cells, parts=parts) if cells else None
    return Pruning(contents, left, tuple(key for key in records if not stays(key)))
