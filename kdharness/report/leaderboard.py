"""The leaderboard of results folders: several read as one table, and the tables that a run writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from kdharness.errors import UserError
from kdharness.protocol.benchmark import available, load
from kdharness.results.contents import Contents
from kdharness.results.joining import joined
from kdharness.results.notes import Subject
from kdharness.results.store import to_stderr
from kdharness.results.table import write_csv
from kdharness.stats.audit import audit_frame, audits_of
from kdharness.stats.board import NONE, leaderboard
from kdharness.stats.claims import judge
from kdharness.stats.effects import effects_of
from kdharness.stats.merging import merge_tables
from kdharness.stats.plugin_columns import PluginColumns
from kdharness.stats.standings import REFERENCES


@dataclass(frozen=True)
class Merged:
    """Several folders as one table.

    references: of their newest plans. warnings: one line each.
    note: what heads their reports; notes: those of datasets.
    """

    frame: pd.DataFrame
    references: tuple[str, ...]
    warnings: tuple[str, ...]
    note: str = ""
    notes: Mapping[Subject, str] = field(default_factory=dict)


def merge(folders: Sequence[Contents]) -> Merged:
    """The folders' tables as one, each cell once."""
    frame, warnings = merge_tables(joined(folders))
    doubts = [doubt for contents in folders for doubt in contents.doubts]
    notes = {whose: note for contents in folders for whose, note in contents.notes.items()}
    return Merged(frame, _references(folders), (*doubts, *warnings), _note(folders), notes)


def _note(folders: Sequence[Contents]) -> str:
    """All folders' notes; each says of which benchmark it is where there are several."""
    several = len({contents.name for contents in folders}) > 1
    notes = [f"{contents.name}: {contents.note}" if several else contents.note for contents in folders if contents.note]
    return " ".join(dict.fromkeys(notes))


def references_of(contents: Contents) -> tuple[str, ...]:
    """The reference methods of the folder's newest plan. Of a table alone, of its benchmarks as they come with
    kdharness; the usual ones where nobody knows.
    """
    return _references([contents])


def _references(folders: Sequence[Contents]) -> tuple[str, ...]:
    """Those of all. Where they differ, the usual ones first, then by name: the order of folders says nothing."""
    each = dict.fromkeys(references for contents in folders for references in _said(contents) if references)
    if len(each) < 2:
        return next(iter(each), REFERENCES)
    named = {name for references in each for name in references}
    return (*(name for name in REFERENCES if name in named), *sorted(named - set(REFERENCES)))


def _said(contents: Contents) -> list[tuple[str, ...]]:
    """The references that a folder names."""
    if contents.references:
        return [contents.references]
    if contents.foreign is None:
        return []
    known = available()
    return [load(name).references for name in sorted({row["benchmark"] for row in contents.rows}) if name in known]


def write_tables(contents: Contents, added: PluginColumns = NONE) -> None:
    """Writes them, each atomically; claims, ablation and audit only where there are some. UserError when they cannot be
    written, or for a folder without a plan. added: as of tables_of.
    """
    if contents.newest is None:
        raise UserError(f"{contents.path} has no plan; its tables cannot be made anew")
    for name, frame in tables_of(contents, added).items():
        path = contents.path / name
        if len(frame) or path in contents.tables.always:
            write_csv(frame, path)
        else:
            path.unlink(missing_ok=True)


def tables_of(contents: Contents, added: PluginColumns = NONE) -> dict[str, pd.DataFrame]:
    """The tables of a folder by the names of their files; an empty one stands for a file that is not written.

    added: the leaderboard's columns of plugins; one that is left empty is warned of.
    """
    frame, metrics, files = contents.frame, contents.metrics_frame, contents.tables
    found = {
        files.results: frame,
        files.metrics: metrics,
        files.leaderboard: leaderboard(frame, references_of(contents), added, to_stderr),
        files.claims: judge(contents.claims, frame, metrics),
        files.ablation: effects_of(contents.ablations, frame),
        files.audit: audit_frame(audits_of(frame, contents.audits)),
    }
    return {path.name: table for path, table in found.items()}
