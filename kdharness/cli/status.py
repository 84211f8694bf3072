"""`kdharness status`: how far a matrix is, from any terminal, while it runs or after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdharness.process.collector import collector_paused
from kdharness.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from kdharness.results.contents import Contents

SHOWN = ("ok", "running", "failed", "oom", "timeout", "interrupted", "unreadable", "not_run", "skipped")


@collector_paused()
def status(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
) -> None:
    """Count the cells by status, and say what is running and for how long still."""
    from rich.console import Console
    from rich.text import Text

    from kdharness.results.finding import find_folders, load_all

    console = Console()
    found = load_all(find_folders(folder))
    console.print(counts_table(found))
    for contents in found:
        for line in running_lines(contents):
            console.print(Text(printable(line)), soft_wrap=True)


def counts_table(found: Sequence[Contents]) -> Table:
    """One row per benchmark; only statuses that occur have a column."""
    from rich.table import Table
    from rich.text import Text

    shown = [name for name in SHOWN if any(name in contents.counts for contents in found)]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("benchmark")
    for name in (*shown, "cells"):
        table.add_column(name.replace("_", " "), justify="right")
    for contents in found:
        counts = [str(contents.counts.get(name, 0)) for name in shown]
        table.add_row(Text(printable(contents.name)), *counts, str(sum(contents.counts.values())))
    return table


def running_lines(contents: Contents) -> list[str]:
    """What runs now, a line per group, and what a run would go on with."""
    from kdharness.results.progress import summary_line

    progress = contents.progress
    if progress is not None:
        groups = [f"  {_group(group)}" for group in progress.get("running", ())]
        return [f"{contents.name}: {summary_line(progress)}", *groups]
    unfinished = sum(contents.counts.get(name, 0) for name in ("interrupted", "unreadable", "not_run"))
    if unfinished:
        return [f"{contents.name}: nothing is running; the next run goes on with {_cells(unfinished)}"]
    return []


def _group(group: Mapping[str, Any]) -> str:
    beside = len(group.get("cells", ())) - 1
    epochs = f", epoch {group.get('epoch', 0)} of {group['epochs']}" if group.get("epochs") else ""
    return f"{group.get('label', '')}{epochs}" + (f", with {_cells(beside)} beside it" if beside > 0 else "")


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"
