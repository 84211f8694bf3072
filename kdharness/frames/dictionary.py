"""The dictionary of all columns, and what plugins say of those that they add."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import pandas as pd

from kdharness.errors import UnknownName
from kdharness.frames.cell_columns import CELLS, HISTORY, METRICS
from kdharness.frames.column import METHOD, NUMBER, QUALITY, TEXT, Column, by_name
from kdharness.frames.ranking_columns import of_board, of_claims
from kdharness.results.record import COLUMNS

if TYPE_CHECKING:
    from kdharness.api.specs import MetricSpec

# A metric's name, and what its plugin declares of it.
Specs = Mapping[str, "MetricSpec"]

EXTRA = "x_"
OF_TEACHER = "teacher_"

TABLES: Mapping[str, Callable[[], tuple[Column, ...]]] = {
    "cells": lambda: cells_in_order(COLUMNS, {}, ()),
    "metrics": lambda: METRICS,
    "history": lambda: HISTORY,
    "leaderboard": of_board,
    "claims": of_claims,
}


def columns(table: str | None = None) -> pd.DataFrame:
    """Every column that kdharness itself writes: table, name, dtype, unit, group, meaning.

    table: one of "cells", "metrics", "history", "leaderboard", "claims"; None for all. UserError for another one.
    """
    if table is not None and table not in TABLES:
        raise UnknownName("table", table, TABLES)
    return as_frame({name: found() for name, found in TABLES.items() if table in (None, name)})


def as_frame(tables: Mapping[str, Sequence[Column]]) -> pd.DataFrame:
    """A row for each column of each table."""
    rows = [{"table": table, **asdict(column)} for table, found in tables.items() for column in found]
    return pd.DataFrame(rows, columns=["table", *(field.name for field in fields(Column))], dtype="object")


def cells_in_order(names: Iterable[str], specs: Specs, methods: Iterable[str]) -> tuple[Column, ...]:
    """Of each column of `cells` what is known of it.

    specs: of metrics, which say what their numbers are. methods: whose own numbers there may be.
    """
    known, methods = by_name(CELLS), sorted(methods, key=len, reverse=True)
    return tuple(known.get(name) or _extra(name, specs, methods) for name in names)


def _extra(name: str, specs: Specs, methods: Sequence[str]) -> Column:
    """Of a column that a plugin added: its metric's, else its method's; of neither, its name alone."""
    number = name.removeprefix(EXTRA)
    for metric in sorted(specs, key=len, reverse=True):
        spec = specs[metric]
        if spec.owns(number):
            part = "" if number == metric else f", {number.removeprefix(metric).strip('_')}"
            return Column(name, NUMBER, spec.unit, spec.group, f"{spec.summary or metric}{part}")
        if spec.owns(number.removeprefix(OF_TEACHER)):
            return Column(name, NUMBER, spec.unit, spec.group, f"{spec.summary or metric}, of the teacher")
    for method in methods:
        if number.startswith(f"{method}_"):
            return Column(name, NUMBER, "", METHOD, f"a number of method '{method}'")
    if name in COLUMNS:
        return Column(name, TEXT, "", "", "")
    return Column(name, NUMBER, "", QUALITY, "")
