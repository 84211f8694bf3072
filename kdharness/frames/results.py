"""Results folders as frames."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from kdharness.errors import UnknownName, UserError
from kdharness.frames.cell_columns import HISTORY, METRICS
from kdharness.frames.column import TEXT, Column, as_dtype
from kdharness.frames.curves import history_of
from kdharness.frames.dictionary import EXTRA, Specs, as_frame, cells_in_order
from kdharness.frames.foreign import foreign_claims, foreign_metrics
from kdharness.frames.outputs import MAIN, Outputs, outputs_of
from kdharness.frames.ranking_columns import of_board, of_claims
from kdharness.report.leaderboard import references_of
from kdharness.results.contents import Contents
from kdharness.results.joining import joined
from kdharness.stats.board import leaderboard
from kdharness.stats.claims import judge
from kdharness.stats.merging import merge_tables
from kdharness.text import printable

NAMES = ("dataset", "scenario", "recipe", "track", "method", "variant", "teacher", "student", "seed")


def say(message: str) -> None:
    """As Python says warnings."""
    warnings.warn(printable(message), stacklevel=2)


@dataclass(frozen=True, eq=False)
class Results:
    """What results folders hold, as frames. Each is made when it is first asked for, from one reading of the folders.

    Text is "" where there is none, a number that was not measured is missing. `describe` says what each column is.
    """

    folders: tuple[Contents, ...] = field(repr=False)

    def __repr__(self) -> str:
        names = ", ".join(str(contents.path) for contents in self.folders)
        return f"Results({names}: {len(self.cells)} cells)"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per planned cell and track that it stands in, whatever became of it: results.csv. What several
        folders hold of one cell is a row once, as in `kdharness leaderboard`.
        """
        if len(self.folders) == 1:
            return self.folders[0].frame
        frame, lines = merge_tables(joined(self.folders))
        for line in lines:
            say(line)
        return frame

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """All numbers of all outputs, long: cell, predictor, split, metric, value."""
        found = [foreign_metrics(each) if each.foreign is not None else each.metrics_frame for each in self.folders]
        return _typed(pd.concat(found).drop_duplicates(["cell", "predictor", "split", "metric"], keep="last"), METRICS)

    @cached_property
    def history(self) -> pd.DataFrame:
        """The curves of all cells, long: cell, epoch, split, predictor, metric, value. Curves of cells that learned
        from private images are their owner's, and not here.
        """
        return history_of(self.folders, say)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The ranking, one row per variant and setting: leaderboard.csv."""
        return leaderboard(self.cells, self.references)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """Whether the benchmarks' claims hold: claims.csv."""
        return _typed(pd.concat([_claims_of(contents) for contents in self.folders]), of_claims())

    @cached_property
    def references(self) -> tuple[str, ...]:
        """The methods that the leaderboard compares with."""
        return tuple(dict.fromkeys(name for contents in self.folders for name in references_of(contents)))

    @property
    def frames(self) -> Mapping[str, pd.DataFrame]:
        """All of them by name."""
        return {name: getattr(self, name) for name in ("cells", "metrics", "history", "leaderboard", "claims")}

    def predictions(self, cell: str, predictor: str = MAIN) -> Outputs:
        """What a cell's network says of the test images. UserError where nothing is kept, or where it is not for
        others: that of cells that learned from private images.

        cell: its key. predictor: the name of one of its outputs.
        """
        holders = [contents for contents in self.folders if cell in contents.planned]
        if not holders:
            if any(contents.foreign is not None for contents in self.folders):
                raise UserError(f"cell {cell}: a table without records has no outputs")
            raise UnknownName("cell", cell, [key for each in self.folders for key in each.planned])
        current = [contents for contents in holders if cell in contents.current]
        return outputs_of((current or holders)[-1], cell, predictor)

    def named(self, frame: pd.DataFrame, names: Sequence[str] = NAMES) -> pd.DataFrame:
        """A frame with a column `cell`, such as `metrics` and `history`, with columns of `cells` before its own. A cell
        that stands in two tracks is there in both. UserError for a column that there is not.
        """
        for name in (*names, "cell"):
            for each in (self.cells, frame) if name == "cell" else (self.cells,):
                if name not in each:
                    raise UnknownName("column", name, list(map(str, each)))
        wanted = [name for name in names if name not in frame]
        known = self.cells[["cell", *wanted]].drop_duplicates()
        return frame.merge(known, on="cell", how="left")[[*wanted, *frame.columns]]

    def columns(self, metrics: Specs | None = None) -> Mapping[str, Sequence[Column]]:
        """What is known of each column, by frame. metrics: what plugins declare of theirs."""
        names = list(map(str, self.cells.columns))
        return {
            "cells": cells_in_order(names, metrics or {}, set(self.cells["method"])),
            "metrics": METRICS,
            "history": HISTORY,
            "leaderboard": of_board(self.references),
            "claims": of_claims(),
        }

    def describe(self, *plugins: Path | str) -> pd.DataFrame:
        """A row for each column of each frame: table, name, dtype, unit, group, meaning.

        plugins: single files, beside the installed ones. Plugins are asked, which may load torch, where `cells` has
        columns of metrics.
        """
        has_extra = any(str(name).startswith(EXTRA) for name in self.cells)
        return as_frame(self.columns(_declared(plugins) if has_extra or plugins else None))


def _declared(plugins: Sequence[Path | str]) -> Specs:
    from kdharness.registry.manager import Registry  # plugins load what they like

    registry = Registry.load([Path(path) for path in plugins])
    return {name: registered.spec for name, registered in registry.metrics.items()}


def _claims_of(contents: Contents) -> pd.DataFrame:
    if contents.foreign is not None:
        return foreign_claims(contents)
    return judge(contents.claims, contents.frame, contents.metrics_frame)


def _typed(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """With the dtypes that the columns say, "" for missing text."""
    found = frame.reset_index(drop=True)
    for column in columns:
        values = found[column.name]
        found[column.name] = (
            values.astype("object").fillna("") if column.dtype == TEXT else as_dtype(values, column.dtype)
        )
    return found
