"""`kdharness status`: how far a matrix is, from any terminal, while it runs or after."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from kdharness.report.view import Report
    from kdharness.results.store import ResultsFolder

SHOWN = ("ok", "running", "failed", "oom", "timeout", "interrupted", "not_run", "skipped")


def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
) -> None:
    """Count the cells by status, and say what is running and for how long still."""
    from rich.console import Console
    from rich.text import Text

    from kdharness.report.view import report_of
    from kdharness.results.store import find_folders

    console = Console()
    found = [(each, report_of(each)) for each in find_folders(folder)]
    console.print(counts_table([report for _, report in found]))
    for each, report in found:
        for line in running_lines(each, report):
            console.print(Text(line), soft_wrap=True)


def counts_table(reports: list[Report]) -> Table:
    """One row per benchmark; only statuses that occur have a column."""
    from rich.table import Table
    from rich.text import Text

    shown = [name for name in SHOWN if any(name in report.counts for report in reports)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("benchmark")
    for name in (*shown, "cells"):
        table.add_column(name.replace("_", " "), justify="right")
    for report in reports:
        counts = [str(report.counts.get(name, 0)) for name in shown]
        table.add_row(Text(report.name), *counts, str(sum(report.counts.values())))
    return table


def running_lines(folder: ResultsFolder, report: Report) -> list[str]:
    """What runs now, a line per group, and what a run would go on with."""
    progress = folder.running()
    if progress is not None:
        return [f"{report.name}: {report.progress}", *(f"  {_group(group)}" for group in progress.get("running", ()))]
    unfinished = sum(report.counts.get(name, 0) for name in ("interrupted", "not_run"))
    if unfinished:
        return [f"{report.name}: nothing is running; the next run goes on with {_cells(unfinished)}"]
    return []


def _group(group: Mapping[str, Any]) -> str:
    beside = len(group.get("cells", ())) - 1
    epochs = f", epoch {group['epoch']} of {group['epochs']}" if group.get("epochs") else ""
    return f"{group.get('label', '')}{epochs}" + (f", with {_cells(beside)} beside it" if beside > 0 else "")


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
