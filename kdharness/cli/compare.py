"""`kdharness compare`: methods held against one reference, or two folders held against each other."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdharness.errors import UserError
from kdharness.results.reading import collector_paused

if TYPE_CHECKING:
    import pandas as pd

    from kdharness.report.view import Report
    from kdharness.results.contents import Contents
    from kdharness.stats.question import Question


class Format(StrEnum):
    TERMINAL = "terminal"
    HTML = "html"
    LATEX = "latex"
    MARKDOWN = "markdown"
    CSV = "csv"


# Module of kdharness.report and its function from reports to text.
WRITERS = {
    Format.TERMINAL: ("terminal", "as_text"),
    Format.HTML: ("page", "as_page"),
    Format.LATEX: ("latex", "as_latex"),
    Format.MARKDOWN: ("markdown", "as_markdown"),
}

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DIR [DIR2]", help="A results root or one benchmark's folder; of two, cells are compared."),
]
Methods = Annotated[str | None, typer.Option("--method", metavar="a,b", help="Methods to compare; default all.")]
Reference = Annotated[
    str | None, typer.Option("--reference", metavar="NAME", help="Against what; default the benchmark's own, as kd.")
]
Metric = Annotated[str | None, typer.Option("--metric", metavar="NAME", help="By which number; default top1.")]
Smaller = Annotated[
    bool | None,
    typer.Option("--smaller/--larger", help="Which way is better; default as the metric says.", show_default=False),
]
EqualWithin = Annotated[
    float | None,
    typer.Option("--equal-within", metavar="NUMBER", help="What counts as no difference; 0.2 points for accuracies."),
]
Tolerance = Annotated[
    float,
    typer.Option("--tolerance", metavar="NUMBER", help="Of two folders: how far numbers may differ; 0: not at all."),
]


@collector_paused()
def compare(
    folders: Folders = None,
    method: Methods = None,
    reference: Reference = None,
    metric: Metric = None,
    smaller: Smaller = None,
    equal_within: EqualWithin = None,
    tolerance: Tolerance = 0.0,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TERMINAL,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; else standard output.")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also draw every figure, as PNG and SVG.")
    ] = None,
) -> None:
    """Hold methods against a reference, with tests and costs; or two folders against each other, cell by cell.

    A method of one folder against a reference of another: 'kdharness leaderboard add DIR DIR2 --to BOTH' makes one of
    two folders, and 'kdharness compare BOTH' compares what is in it.
    """
    from kdharness.cli.drawing import draw
    from kdharness.results.finding import find_folders, load_all

    for option, value in (("--equal-within", equal_within), ("--tolerance", tolerance)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UserError(f"{option} must be a number from 0 on, not {value:g}")
    paths = folders or [Path("results")]
    if len(paths) > 2:
        raise UserError(f"compare takes one folder or two, not {len(paths)}")
    if len(paths) == 2:
        _refuse(
            method=method, reference=reference, metric=metric, smaller=smaller, equal_within=equal_within, plots=plots
        )
        _two(paths, tolerance, form, out)
        return
    if tolerance:
        raise UserError("--tolerance is for two folders")
    found = load_all(find_folders(paths[0]))
    asked = _question(found, method, reference, metric or "top1", smaller, equal_within)
    if form is Format.CSV:
        _write(_csv(found, asked), out)
    if form is Format.CSV and plots is None:
        return
    reports = _reports(found, asked)
    if plots is not None:
        draw(reports, plots)
    if form is not Format.CSV:
        _show(reports, form, out)


def _refuse(**options: object) -> None:
    """UserError for what two folders have no use for."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        both = "'kdharness leaderboard add' makes one of two"
        raise UserError(f"two folders are compared cell by cell: {', '.join(given)} is for one folder, and {both}")


def _two(paths: Sequence[Path], tolerance: float, form: Format, out: Path | None) -> None:
    from kdharness.report.differences import differences_of
    from kdharness.results.difference_table import difference_table
    from kdharness.results.differences import differences
    from kdharness.results.finding import find_folders, load_all

    here, there = (load_all(find_folders(path)) for path in paths)
    if form is Format.CSV:
        _write(difference_table(differences(here, there, tolerance)), out)
        return
    names = [path.resolve().name for path in paths]
    shown = names if names[0] != names[1] else [str(path) for path in paths]
    _show([differences_of(here, there, (shown[0], shown[1]), tolerance)], form, out)


def _question(
    found: Sequence[Contents],
    method: str | None,
    reference: str | None,
    metric: str,
    smaller: bool | None,
    equal_within: float | None,
) -> Question:
    """UserError for a name that none of the folders knows."""
    from kdharness.protocol.claim import EQUAL_POINTS
    from kdharness.report.leaderboard import references_of
    from kdharness.results.table import frame_of
    from kdharness.stats.question import (
        ALL,
        Question,
        check_measured,
        chosen_of,
        column_of,
        competitors_of,
        reference_of,
    )

    frame = frame_of(row for contents in found for row in contents.rows)
    known = competitors_of(frame)
    usual = tuple(dict.fromkeys(name for contents in found for name in references_of(contents)))
    column = column_of(metric, frame)
    against = reference_of(reference, usual, known)
    chosen = chosen_of(method or ALL, known, "--method")
    if chosen == (against,):
        raise UserError(f"--method names the reference alone; --reference names another one than '{method}'")
    is_smaller, is_points = _direction(column.removeprefix("x_"), smaller)
    band = (EQUAL_POINTS if is_points else 0.0) if equal_within is None else equal_within
    asked = Question(against, metric, column, is_smaller, is_points, band, chosen)
    check_measured(frame, asked)
    return asked


def _direction(metric: str, smaller: bool | None) -> tuple[bool, bool]:
    """Whether less is better, and whether it is in percent: as told, else as the metric declares."""
    if metric == "top1":
        return bool(smaller), True
    from kdharness.planning.claims import direction_of, is_declared
    from kdharness.registry.manager import Registry
    from kdharness.results.store import to_stderr

    specs = [each.spec for each in Registry.load().metrics.values()]
    if smaller is None and not is_declared(metric, specs):
        to_stderr(f"nothing installed declares '{metric}': more of it is taken to be better; --smaller says otherwise")
    declared = direction_of(metric, specs)
    return declared.smaller if smaller is None else smaller, declared.points


def _reports(found: Sequence[Contents], asked: Question) -> list[Report]:
    from kdharness.report.comparison import comparison_of

    return [comparison_of(contents, asked) for contents in found]


def _csv(found: Sequence[Contents], asked: Question) -> pd.DataFrame:
    import pandas as pd

    from kdharness.stats.contrast import contrasts
    from kdharness.stats.merging import merge_tables

    return pd.concat([contrasts(merge_tables(contents.frame)[0], asked) for contents in found], ignore_index=True)


def _show(reports: Sequence[Report], form: Format, out: Path | None) -> None:
    from rich.console import Console

    from kdharness.report.terminal import show

    if form is Format.TERMINAL and out is None:
        for each in reports:
            show(each, Console())
        return
    module, function = WRITERS[form]
    text: str = getattr(importlib.import_module(f"kdharness.report.{module}"), function)(reports)
    _put(text, out)


def _write(table: pd.DataFrame, out: Path | None) -> None:
    from kdharness.results.table import csv_text

    _put(csv_text(table), out)


def _put(text: str, out: Path | None) -> None:
    from kdharness.results.files import write_atomic

    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text)
        print(f"wrote {out}", file=sys.stderr)
