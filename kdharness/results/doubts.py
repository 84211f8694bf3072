"""What of a folder's records and files is not as it was written, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from kdharness.results.paths import CellFiles
from kdharness.results.record import Record
from kdharness.results.seal import altered

MOST_NAMED = 5


def doubts_of(folder: Path, records: Mapping[str, Record]) -> tuple[str, ...]:
    """One line each on files that are not those of their records, and on records that nothing guards."""
    return tuple(_lines(folder, records))


def _lines(folder: Path, records: Mapping[str, Record]) -> Iterator[str]:
    changed = [
        path.relative_to(folder)
        for key, record in records.items()
        for path in altered(CellFiles(folder / "cells" / key), record.files)
    ]
    if changed:
        files = "1 file is" if len(changed) == 1 else f"{len(changed)} files are"
        yield f"{files} not as the record beside it says: {_named(changed)}"
    unguarded = sum(not record.digest for record in records.values())
    if unguarded:
        whose = "1 record has" if unguarded == 1 else f"{unguarded} records have"
        yield f"{whose} no digest, as former releases wrote them: an edited number would not be noticed"


def _named(paths: Sequence[Path]) -> str:
    names = [path.as_posix() for path in paths[:MOST_NAMED]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
