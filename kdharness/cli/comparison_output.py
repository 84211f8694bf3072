"""How comparisons are written: as reports in several formats, or as a table."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from kdharness.cli.writers import WRITERS

if TYPE_CHECKING:
    import pandas as pd

    from kdharness.report.view import Report


class Format(StrEnum):
    TERMINAL = "terminal"
    HTML = "html"
    LATEX = "latex"
    MARKDOWN = "markdown"
    CSV = "csv"


def put(reports: Sequence[Report], form: Format, out: Path | None, plots: Path | None = None) -> None:
    """Draws the figures where these are asked for, and writes the reports, except as the table of `write_tables`."""
    from kdharness.cli.drawing import draw

    if plots is not None:
        draw(reports, plots)
    if form is Format.TERMINAL and out is None:
        _show(reports)
    elif form is not Format.CSV:
        module, function = WRITERS[form]
        text: str = getattr(importlib.import_module(f"kdharness.report.{module}"), function)(reports)
        _put(text, out)


def write_tables(tables: Sequence[pd.DataFrame], out: Path | None) -> None:
    """As one CSV file."""
    import pandas as pd

    from kdharness.results.table import csv_text

    _put(csv_text(pd.concat(tables, ignore_index=True)), out)


def _show(reports: Sequence[Report]) -> None:
    from rich.console import Console

    from kdharness.report.terminal import show

    for each in reports:
        show(each, Console())


def _put(text: str, out: Path | None) -> None:
    from kdharness.results.files import write_atomic

    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text)
        print(f"wrote {out}", file=sys.stderr)
