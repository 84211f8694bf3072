"""What a folder may do without: cells of former commands that are not ok, and that the newest does not ask for; and
what is damaged, when that is asked for.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from kdharness.errors import UserError
from kdharness.planning.plan import Plan
from kdharness.results.contents import Contents
from kdharness.results.files import write_atomic, writing
from kdharness.results.paths import CellFiles
from kdharness.results.reading import Fault
from kdharness.results.record import Status
from kdharness.results.seal import sealed


@dataclass(frozen=True)
class Pruning:
    """What is to go.

    contents: the folder.
    plans: by file, what is left of each plan that changes; None where nothing is.
    cells: keys of the cells whose folders go.
    damaged: by folder of a cell and by plan, why it cannot be read.
    drops_damaged: whether these go, too.
    """

    contents: Contents
    plans: Mapping[Path, Plan | None]
    cells: tuple[str, ...]
    damaged: Mapping[Path, Fault] = field(default_factory=dict)
    drops_damaged: bool = False

    def carry_out(self) -> None:
        """The caller holds the folder's lock. What cannot be removed keeps nothing else; then UserError names the
        first such.
        """
        faults: list[UserError] = []
        for path, plan in self._changes():
            try:
                with writing(path):
                    _change(path, plan)
            except UserError as error:
                faults.append(error)
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise UserError(f"{faults[0]}{more}")

    def _changes(self) -> Iterator[tuple[Path, Plan | None]]:
        """What is there, and what is to be there in its place; None for nothing."""
        yield from self.plans.items()
        yield from ((self.contents.files_of(key).folder, None) for key in self.cells)
        if self.drops_damaged:
            yield from ((path, None) for path in self.damaged)


def _change(path: Path, plan: Plan | None) -> None:
    if plan is not None:
        write_atomic(path, sealed(plan.to_json()))
    elif path.is_dir() and not path.is_symlink():
        _remove(CellFiles(path))
    else:
        path.unlink(missing_ok=True)


def _remove(files: CellFiles) -> None:
    """All of a cell but what its noise has spent, which no removal of files gives back."""
    for apart in (files.shelter, files.audit.parent):
        if apart.exists():
            shutil.rmtree(apart)
    kept = files.begun
    if not kept.exists():
        shutil.rmtree(files.folder)
        return
    for path in files.folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != kept:
            path.unlink()


def pruning(
    contents: Contents, paths: Mapping[Path, Plan], damaged_plans: Mapping[Path, Fault], drops_damaged: bool
) -> Pruning:
    """What of a folder can go; what is ok stays, and so does all that the newest plan asks for.

    paths: the plans that can be read, by file, oldest first.
    damaged_plans: the others, by file. drops_damaged: whether what cannot be read goes, too; else it stays, for what it
        was nobody knows.
    """
    newest = {entry.cell.key for entry in contents.newest.cells} if contents.newest else set()
    records = contents.records
    damaged = {contents.files_of(key).folder: fault for key, fault in contents.faults.items()} | dict(damaged_plans)

    def stays(key: str) -> bool:
        if key in newest or key in contents.faults:
            return key in newest or not drops_damaged
        record = records.get(key)
        return record is not None and record.status is Status.OK

    left: dict[Path, Plan | None] = {}
    for path, plan in paths.items():
        cells = tuple(entry for entry in plan.cells if stays(entry.cell.key))
        if len(cells) < len(plan.cells):
            parts = {key: names for key, names in plan.parts.items() if stays(key)}
            left[path] = replace(plan, cells=cells, parts=parts) if cells else None
    return Pruning(contents, left, tuple(key for key in records if not stays(key)), damaged, drops_damaged)
