"""Results that somebody hands in for a leaderboard: a folder of records, a bundle of one, or a results.csv alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kdharness.planning.cell import SPREAD, Cell
from kdharness.results.bundles.unpacking import looks_like_bundle, unpack_sound
from kdharness.results.contents import Contents
from kdharness.results.finding import find_folders
from kdharness.results.foreign_rows import read_rows
from kdharness.results.paths import CellFiles
from kdharness.results.record import COLUMNS
from kdharness.results.row_faults import text_of
from kdharness.results.rows import Row
from kdharness.results.seal import altered


@dataclass(frozen=True)
class Submission:
    """What was handed in.

    rows: by column name. Students under other teachers than the benchmark's rule gives them are left out: no
        leaderboard has them.
    cells: by key, those whose documents came along; a table alone has none.
    faults: of files that cannot be read or were edited, one line each.
    """

    rows: tuple[Row, ...]
    cells: Mapping[str, Cell] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names, in order."""
        return tuple(sorted({text_of(row, "benchmark") for row in self.rows}))


def read_submission(path: Path) -> Submission:
    """A results folder, a root of several, a bundle, or a CSV file. UserError for what is none of these, and for a
    bundle whose files are not as it says.
    """
    if path.suffix == ".csv":
        return _of_table(path)
    return _of_bundle(path) if looks_like_bundle(path) else _of_folders(path)


def _of_bundle(path: Path) -> Submission:
    with tempfile.TemporaryDirectory(prefix="kdharness-") as folder:
        unpack_sound(path, Path(folder))
        found = _of_folders(Path(folder), path)
        faults = (fault.replace(f"{folder}{os.sep}", "") for fault in found.faults)
        return replace(found, faults=tuple(faults))


def _of_folders(path: Path, named: Path | None = None) -> Submission:
    """named: what somebody calls it, where that is another path."""
    warnings: list[str] = []
    found = [_of_contents(folder.load(trusts_digests=False)) for folder in find_folders(path, warnings.append, named)]
    return Submission(
        rows=tuple(row for each in found for row in each.rows),
        cells={key: cell for each in found for key, cell in each.cells.items()},
        faults=(*warnings, *(fault for each in found for fault in each.faults)),
    )


def _of_table(path: Path) -> Submission:
    rows = read_rows(path)
    return Submission(_kept(rows), faults=tuple(_strange_columns(rows)))


def _strange_columns(rows: Sequence[Row]) -> Iterator[str]:
    names = [name for name in (rows[0] if rows else ()) if name not in COLUMNS and not name.startswith("x_")]
    yield from (f"there is no column '{name:.40}'" for name in names)


def _of_contents(contents: Contents) -> Submission:
    if contents.foreign is not None:
        return _of_table(contents.foreign)
    cells = {key: entry.cell for key, entry in contents.planned.items()}
    return Submission(_kept(contents.rows), cells, tuple(_faults(contents)))


def _faults(contents: Contents) -> Iterator[str]:
    """Records that cannot be used, and files that are not those of their records."""
    yield from (f"{contents.files_of(key).record}: {fault.reason}" for key, fault in contents.unusable.items())
    for key, record in contents.current.items():
        files = altered(CellFiles(contents.path / "cells" / key), record.files)
        yield from (f"{path} is not as the record beside it says" for path in files)


def _kept(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(row for row in rows if text_of(row, "role") != SPREAD)
