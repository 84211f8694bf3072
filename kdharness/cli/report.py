"""`kdharness report`: what the results say, also of a matrix that is half done."""

from __future__ import annotations

import importlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kdharness.cli.options import Plugins, format_option
from kdharness.cli.writers import WRITERS
from kdharness.process.collector import collector_paused


class Format(StrEnum):
    TERMINAL = "terminal"
    HTML = "html"
    LATEX = "latex"
    MARKDOWN = "markdown"


@collector_paused()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
    form: Annotated[Format, format_option(Format)] = Format.TERMINAL,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; else standard output.")] = None,
    plots: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Also draw every figure, as PNG and SVG."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--all", help="All sections whole; else exits, privacy and claims take a line each.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published", help="Also set what others published beside what was measured.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Show rankings with their uncertainty, what failed, and how it was measured."""
    from rich.console import Console

    from kdharness.cli.board_columns import columns_shown
    from kdharness.cli.drawing import draw
    from kdharness.report.terminal import show
    from kdharness.report.view import report_of
    from kdharness.results.files import write_atomic
    from kdharness.results.finding import find_folders, load_all

    page = form is Format.HTML
    drawn = page or plots is not None
    found = load_all(find_folders(folder))
    added = columns_shown(found if whole or page else (), plugin or ())
    reports = [report_of(contents, published, drawn, page, added) for contents in found]
    if published and not any(each.published for each in reports):
        print("nothing here was published of the same network on the same data", file=sys.stderr)
    if plots is not None:
        draw(reports, plots)
    if form is Format.TERMINAL and out is None:
        for each in reports:
            show(each, Console(), whole)
        return
    module, function = WRITERS[form]
    write = getattr(importlib.import_module(f"kdharness.report.{module}"), function)
    text: str = write(reports) if form is Format.HTML else write(reports, whole=whole)
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text)
        print(f"wrote {out}", file=sys.stderr)
