"""`kdharness report`: what the results say, also of a matrix that is half done."""

from __future__ import annotations

import importlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    TERMINAL = "terminal"
    HTML = "html"
    LATEX = "latex"
    MARKDOWN = "markdown"


# Module of kdharness.report and its function from reports to text.
WRITERS = {
    Format.TERMINAL: ("terminal", "as_text"),
    Format.HTML: ("page", "as_page"),
    Format.LATEX: ("latex", "as_latex"),
    Format.MARKDOWN: ("markdown", "as_markdown"),
}


def report(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TERMINAL,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to; else standard output.")] = None,
) -> None:
    """Show rankings with their uncertainty, what failed, and how it was measured."""
    from rich.console import Console

    from kdharness.report.terminal import print_report
    from kdharness.report.view import report_of
    from kdharness.results.files import write_atomic
    from kdharness.results.store import find_folders

    folders = find_folders(folder)
    if form is Format.TERMINAL and out is None:
        print_report(folders, Console())
        return
    module, function = WRITERS[form]
    write = getattr(importlib.import_module(f"kdharness.report.{module}"), function)
    text: str = write([report_of(found) for found in folders])
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text)
        print(f"wrote {out}", file=sys.stderr)
