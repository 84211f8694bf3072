"""`kdharness compare`: methods held against one reference, or two folders held against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kdharness.cli.comparison_output import Format, put, write_tables
from kdharness.cli.comparison_question import Asked
from kdharness.cli.options import format_option
from kdharness.errors import UserError
from kdharness.process.collector import collector_paused
from kdharness.text import plain

Folders = Annotated[
    list[Path] | None,
    typer.Argument(metavar="DIR [DIR2]", help="A results root or one benchmark's folder, or two."),
]
Methods = Annotated[
    str | None, typer.Option("--method", metavar="a,b", help="Methods to compare, of the first folder; all.")
]
Reference = Annotated[
    str | None,
    typer.Option("--reference", metavar="NAME", help="Against what, of the last folder; the benchmark's own, as kd."),
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
    typer.Option("--tolerance", metavar="NUMBER", help="Cell by cell: how far numbers may differ; 0: not at all."),
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
    form: Annotated[Format, format_option(Format)] = Format.TERMINAL,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; else standard output.")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also draw every figure, as PNG and SVG.")
    ] = None,
) -> None:
    """Hold methods against a reference, with tests and costs; or two folders against each other, cell by cell.

    With two folders and --method or --reference, methods of the first are held against the reference of the second.
    """
    for option, value in (("--equal-within", equal_within), ("--tolerance", tolerance)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise UserError(f"{option} must be a number from 0 on, not {value:g}")
    paths = folders or [Path("results")]
    if len(paths) > 2:
        raise UserError(f"compare takes one folder or two, not {len(paths)}")
    if len(paths) == 2 and method is None and reference is None:
        _refuse(metric=metric, smaller=smaller, equal_within=equal_within, plots=plots)
        _cell_by_cell(paths, tolerance, form, out)
        return
    if tolerance:
        raise UserError("--tolerance is for two folders, cell by cell: without --method and --reference")
    asked = Asked(method, reference, metric or "top1", smaller, equal_within)
    if len(paths) == 2:
        _beside(paths, asked, form, out, plots)
    else:
        _one(paths[0], asked, form, out, plots)


def _refuse(**options: object) -> None:
    """UserError for what a comparison cell by cell has no use for."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        instead = "--method or --reference holds methods of the first against the reference of the second"
        raise UserError(f"two folders are compared cell by cell, without {', '.join(given)}; {instead}")


def _one(path: Path, asked: Asked, form: Format, out: Path | None, plots: Path | None) -> None:
    from kdharness.cli.comparison_question import question_of
    from kdharness.report.comparison import comparison_of
    from kdharness.results.finding import find_folders, load_all
    from kdharness.stats.contrast import contrasts
    from kdharness.stats.merging import merge_tables

    found = load_all(find_folders(path))
    question = question_of(asked, found)
    if form is Format.CSV:
        write_tables([contrasts(merge_tables(contents.frame)[0], question) for contents in found], out)
    if form is not Format.CSV or plots is not None:
        put([comparison_of(contents, question) for contents in found], form, out, plots)


def _beside(paths: Sequence[Path], asked: Asked, form: Format, out: Path | None, plots: Path | None) -> None:
    from kdharness.cli.comparison_question import question_beside
    from kdharness.report.comparison import comparison_beside
    from kdharness.results.finding import find_folders, load_all
    from kdharness.stats.beside import unmatched
    from kdharness.stats.contrast import contrasts

    here, there = (load_all(find_folders(path)) for path in paths)
    names = _names(paths)
    question, joined = question_beside(asked, here, there, names)
    lacking = unmatched(joined, question.chosen or (), names)
    if form is Format.CSV:
        write_tables([contrasts(joined.frame, question)], out)
    if form is not Format.CSV or plots is not None:
        put([comparison_beside(joined, (*here, *there), names, lacking, question)], form, out, plots)


def _cell_by_cell(paths: Sequence[Path], tolerance: float, form: Format, out: Path | None) -> None:
    from kdharness.report.differences import differences_of
    from kdharness.results.difference_table import difference_table
    from kdharness.results.differences import differences
    from kdharness.results.finding import find_folders, load_all

    here, there = (load_all(find_folders(path)) for path in paths)
    if form is Format.CSV:
        write_tables([difference_table(differences(here, there, tolerance))], out)
    else:
        put([differences_of(here, there, _names(paths), tolerance)], form, out)


def _names(paths: Sequence[Path]) -> tuple[str, str]:
    """What both are called: by their last part, where these differ."""
    here, there = (plain(path.resolve().name) for path in paths)
    return (here, there) if here != there else (plain(str(paths[0])), plain(str(paths[1])))
