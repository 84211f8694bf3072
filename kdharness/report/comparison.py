"""A comparison with one reference as sections, so that every format shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from kdharness.report.charts.evidence import Evidence, FolderEvidence
from kdharness.report.sections.contrast import contrast_section, mean_contrast_section
from kdharness.report.sections.field import field_sections
from kdharness.report.sections.section import Section
from kdharness.report.sections.trade import trade_section
from kdharness.report.view import Report
from kdharness.results.contents import Contents
from kdharness.results.history import HistoryRow
from kdharness.results.predictions import Predictions
from kdharness.stats.beside import Beside
from kdharness.stats.blocks import blocks_of
from kdharness.stats.contrast import contrasted, table_of
from kdharness.stats.contrast_means import TOGETHER, mean_contrasts
from kdharness.stats.merging import merge_tables
from kdharness.stats.question import Question
from kdharness.stats.reach import reaches
from kdharness.stats.settings import SETTING
from kdharness.text import plain, printable


@dataclass(frozen=True)
class BothEvidence:
    """From the first of several folders that holds the cell."""

    folders: Sequence[Contents]

    def history(self, cell: str) -> Sequence[HistoryRow]:
        return self._of(cell).history(cell)

    def predictions(self, cell: str) -> Predictions | None:
        return self._of(cell).predictions(cell)

    def _of(self, cell: str) -> FolderEvidence:
        holders = (contents for contents in self.folders if cell in contents.records)
        return FolderEvidence(next(holders, self.folders[0]))


def comparison_of(contents: Contents, question: Question) -> Report:
    """The comparison of one folder."""
    frame, warnings = merge_tables(contents.frame)
    return Report(
        name=printable(contents.name),
        rankings=(),
        overalls=(),
        note=plain(contents.note),
        doubts=tuple(map(printable, (*contents.doubts, *warnings))),
        made=tuple(_sections(frame, question, FolderEvidence(contents))),
    )


def comparison_beside(
    joined: Beside, folders: Sequence[Contents], names: tuple[str, str], lacking: Sequence[str], question: Question
) -> Report:
    """Methods of one folder against the reference of another. folders: all that was read. names: of both, for people.
    lacking: what is not compared, one line each.
    """
    doubts = dict.fromkeys((*(doubt for each in folders for doubt in each.doubts), *joined.warnings, *lacking))
    notes = dict.fromkeys(plain(each.note) for each in folders if each.note)
    return Report(
        name=printable(" against ".join(names)),
        rankings=(),
        overalls=(),
        note=" ".join(notes),
        doubts=tuple(map(printable, doubts)),
        made=tuple(_sections(joined.frame, question, BothEvidence(folders))),
    )


def _sections(frame: pd.DataFrame, question: Question, evidence: Evidence) -> Iterator[Section]:
    each = contrasted(frame, question)
    table = table_of(each, question)
    settings = [rows for _, rows in table.groupby([*SETTING, "deviations"], sort=False)]
    yield from (contrast_section(rows, question) for rows in settings if (~rows["reference"]).any())
    means = mean_contrasts(each, table, question)
    for _, rows in means[means["settings"] > 1].groupby(list(TOGETHER), sort=False):
        yield mean_contrast_section(rows, question)
    reached = reaches(frame, question, evidence.history) if question.is_accuracy else {}
    yield from (trade_section(rows, question, reached) for rows in settings)
    for blocks in blocks_of(frame, question):
        yield from field_sections(blocks, question)
