"""What a results folder holds, read once; all that a command shows of it comes from one such reading."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdharness.planning.plan import Plan, PlannedCell
from kdharness.results.bound import outdated
from kdharness.results.doubts import doubts_of
from kdharness.results.foreign_rows import sound_rows
from kdharness.results.kept import Head, Kept, stamp_of
from kdharness.results.notes import Subject, common_note, notes_of, subject
from kdharness.results.paths import AUDIT, PRIVATE, CellFiles, TableFiles
from kdharness.results.plans import planned_cells
from kdharness.results.reading import Fault
from kdharness.results.record import Record
from kdharness.results.rows import Row, rows_of, status_of
from kdharness.results.seal import guarded

if TYPE_CHECKING:
    import pandas as pd

    from kdharness.protocol.claim import Claim
    from kdharness.results.audits import Audit

RUNNING = "running"

# Of a record whose sources have other weights now.
STALE = Fault("stale: a teacher has other weights now than it was trained with; the next run trains it again")


@dataclass(frozen=True)
class Reading:
    """What the files of a folder hold.

    plans: oldest first.
    records: by key, stale ones too.
    faults: by key, why a record that is there cannot be used.
    """

    plans: tuple[Plan, ...] = ()
    records: Mapping[str, Record] = field(default_factory=dict)
    faults: Mapping[str, Fault] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """One reading of a folder. What follows from it is made when it is first asked for, and once.

    path: the folder.
    read: gives the reading; asked once, and not before something needs it.
    progress: of the run that was at work on the folder; None when none was.
    foreign: a results.csv that stands in for plans and records, as in a folder that holds somebody else's table.
    kept: where a large folder's tables are kept, between one command and the next.
    read_record: gives the record of one cell as it is now; where there is none, all of them are read.
    """

    path: Path
    read: Callable[[], Reading] = Reading
    progress: Mapping[str, Any] | None = None
    foreign: Path | None = None
    kept: Kept | None = None
    read_record: Callable[[str], Record | None] | None = None

    @cached_property
    def _reading(self) -> Reading:
        return self.read()

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Oldest first."""
        return self._reading.plans

    @property
    def records(self) -> Mapping[str, Record]:
        """By key, stale ones too."""
        return self._reading.records

    @property
    def faults(self) -> Mapping[str, Fault]:
        """By key, why a record that is there cannot be used."""
        return self._reading.faults

    def record(self, key: str) -> Record | None:
        """A cell's. Where nothing else was read yet, nothing else is."""
        if self.read_record is not None and "_reading" not in vars(self):
            return self.read_record(key)
        return self.records.get(key)

    @property
    def name(self) -> str:
        """The benchmark's name."""
        return self.path.resolve().name

    @property
    def tables(self) -> TableFiles:
        return TableFiles(self.path)

    def files_of(self, key: str) -> CellFiles:
        """Where a cell keeps its things."""
        return CellFiles(self.path / "cells" / key)

    @property
    def newest(self) -> Plan | None:
        """The plan of the latest command."""
        return self.plans[-1] if self.plans else None

    @cached_property
    def head(self) -> Head:
        """What there is to say beside the tables."""
        kept = self.kept.head if self.kept is not None else None
        if kept is not None:
            return kept
        newest, notes = self.newest, notes_of(self.plans)
        made = Head(
            counts=self._counts(),
            references=newest.references if newest is not None else (),
            claims=newest.claims if newest is not None else (),
            ablates=any(plan.ablated for plan in self.plans),
            left_out=len(self.stale) + len(self.outdated) if newest is not None else 0,
            notes=notes,
            note=common_note(notes, {subject(entry.cell) for entry in self.planned.values()}),
        )
        if self.kept is not None:
            self.kept.keep(made)
        return made

    @property
    def references(self) -> tuple[str, ...]:
        """The reference methods of the latest command; () where there is none."""
        return self.head.references

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What the latest command puts to the test."""
        return self.head.claims

    @property
    def note(self) -> str:
        """What heads its reports: the note that all its datasets share; "" for none."""
        return self.head.note

    @property
    def notes(self) -> Mapping[Subject, str]:
        """Those that stand with their datasets instead."""
        return {} if self.note else self.head.notes

    @property
    def counts(self) -> Mapping[str, int]:
        """Planned cells by status, 'running' for those at work, in alphabetical order."""
        return self.head.counts

    @property
    def ablations(self) -> tuple[Plan, ...]:
        """The plans that take a method apart, oldest first."""
        return tuple(plan for plan in self.plans if plan.ablated) if self.head.ablates else ()

    @cached_property
    def planned(self) -> Mapping[str, PlannedCell]:
        """The cells of all plans, by key. At one address only the newest plan's cells count.

        Without a plan that can be read, the cells that left a record.
        """
        if not self.plans:
            return {key: PlannedCell(record.cell) for key, record in self.records.items()}
        return planned_cells(self.plans)

    @cached_property
    def stale(self) -> Mapping[str, Record]:
        """Records whose key no plan produces any more. They stay on disk and enter no table."""
        return {key: record for key, record in self.records.items() if key not in self.planned}

    @cached_property
    def outdated(self) -> frozenset[str]:
        """Keys of planned cells that are stale: what they were trained with was trained again, with other weights."""
        return frozenset(key for key in outdated(self.records) if key in self.planned)

    @cached_property
    def unusable(self) -> Mapping[str, Fault]:
        """By key, why a record that is there does not count."""
        return {**self.faults, **dict.fromkeys(self.outdated, STALE)}

    @cached_property
    def current(self) -> Mapping[str, Record]:
        """The records of planned cells that count."""
        return {k: r for k, r in self.records.items() if k in self.planned and k not in self.outdated}

    @cached_property
    def running(self) -> frozenset[str]:
        """Keys of the cells at work."""
        groups = (self.progress or {}).get("running", ())
        return frozenset(key for group in groups for key in group.get("cells", ()))

    @cached_property
    def rows(self) -> list[Row]:
        """The table as plain data, a row for each planned cell and track that it stands in, in no particular order."""
        if self.foreign is not None:
            return list(sound_rows(self.foreign))
        return list(self._each_row())

    def _each_row(self) -> Iterable[Row]:
        """One after the other: all rows of a large folder take more than the records that they are made of."""
        return self.rows if self.foreign is not None else rows_of(self.planned, self.current, self.unusable)

    def _counts(self) -> dict[str, int]:
        if self.foreign is not None:
            return dict(sorted(Counter({row["cell"]: row["status"] for row in self.rows}.values()).items()))
        planned, records, faults = self.planned, self.current, self.unusable
        statuses = {key: status_of(entry, records.get(key), faults.get(key)) for key, entry in planned.items()}
        found = Counter(RUNNING if key in self.running else status for key, status in statuses.items())
        return dict(sorted(found.items()))

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """What cannot be trusted of what is here, one line each. Reads all files of the cells."""
        if self.foreign is not None:
            return (f"{self.foreign} stands alone: there are no records to hold its numbers against",)
        found = self.kept.doubts() if self.kept is not None else None
        if found is not None:
            return found
        records = {key: record for key, record in self.records.items() if key in self.planned}
        if self.kept is None:
            return doubts_of(self.path, records)
        named = (path for key, record in records.items() for path in guarded(self.files_of(key), record.files))
        files = list(map(os.path.abspath, named))
        before = stamp_of(files)
        found = doubts_of(self.path, records)
        self.kept.keep_doubts(found, files, before)
        return found

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The table, as `frame_of` makes it."""
        from kdharness.results.table import frame_of  # loads pandas

        return self._table("table", lambda: frame_of(self._each_row()))

    @cached_property
    def metrics_frame(self) -> pd.DataFrame:
        """metrics.csv: cell, predictor, split, metric, value of every planned cell."""
        from kdharness.results.table import metrics_frame_of  # loads pandas

        return self._table("metrics", lambda: metrics_frame_of(self.current))

    @cached_property
    def documents_frame(self) -> pd.DataFrame:
        """What the documents of planned cells say of their data, scenario, recipe and evaluation."""
        from kdharness.results.table import documents_frame_of  # loads pandas

        return self._table("documents", lambda: documents_frame_of(self.planned))

    def _table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What is kept of it, else what is made now and kept."""
        kept = self.kept.table(name) if self.kept is not None else None
        if kept is not None:
            return kept
        made, _ = make(), self.head
        if self.kept is not None:
            self.kept.keep_table(name, made)
        return made

    @cached_property
    def audits(self) -> Mapping[str, Audit]:
        """By key, what attackers of the current cells would look at, where a scenario tosses for membership."""
        from kdharness.results.audits import read_audit  # loads numpy

        if not (self.path / PRIVATE / AUDIT).is_dir():
            return {}
        found = {key: read_audit(self.files_of(key).audit) for key in self.current}
        return {key: audit for key, audit in found.items() if audit is not None}
