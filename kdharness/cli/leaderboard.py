"""`kdharness leaderboard`: the ranking of one or several results folders, for people or as CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kdharness.results.reading import collector_paused


@collector_paused()
def leaderboard(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="DIR", help="Results roots, benchmarks' folders, or folders with a results.csv."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="Write the ranking as CSV.")] = None,
) -> None:
    """Rank the variants of every setting by their benchmark's rule; several folders are merged."""
    from rich.console import Console

    from kdharness.report.leaderboard import merge
    from kdharness.report.terminal import show
    from kdharness.report.view import ranking_of
    from kdharness.results.finding import find_folders, load_all
    from kdharness.results.store import to_stderr
    from kdharness.results.table import write_csv
    from kdharness.stats.board import leaderboard as ranking

    found = [folder for path in folders or [Path("results")] for folder in find_folders(path)]
    once = list({folder.path.resolve(): folder for folder in found}.values())  # a folder named twice counts once
    merged = merge(load_all(once))
    for warning in merged.warnings:
        to_stderr(warning)
    if out is None:
        show(ranking_of(merged), Console(), whole=False)
        return
    write_csv(ranking(merged.frame, merged.references), out)
    print(f"wrote {out}", file=sys.stderr)
