"""`kdharness leaderboard`: the ranking of one or several results folders, for people or as CSV."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kdharness.cli.options import Data, Plugins, data_root
from kdharness.errors import UserError
from kdharness.process.collector import collector_paused

ADD = Path("add")


@collector_paused()
def leaderboard(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[add] DIR",
            help="Results roots, benchmarks' folders, or folders with a results.csv. After 'add': folders, bundles "
            "or CSV files to check and add to the leaderboard of --to.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.csv", help="Write the ranking as CSV.")] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Of add: the leaderboard's folder [leaderboard]."),
    ] = None,
    benchmark: Annotated[
        str, typer.Option("--benchmark", metavar="FILE.toml", help="Of add: a benchmark that does not come along.")
    ] = "",
    trust_keys: Annotated[
        bool, typer.Option("--trust-keys", help="Of add: take keys of methods that are not installed as they are.")
    ] = False,
    data: Data = None,
    plugin: Plugins = None,
) -> None:
    """Rank the variants of every setting by their benchmark's rule; several folders are merged.

    `leaderboard add FILE... --to DIR` checks somebody's rows and adds them to those that a leaderboard is made from.
    """
    paths = list(folders or [Path("results")])
    if folders and paths[0] == ADD:
        from kdharness.cli.board_adding import AddOptions, add_to_board

        if out is not None:
            raise UserError("kdharness leaderboard add writes to --to, not to --out")
        where, files = to or Path("leaderboard"), tuple(plugin or ())
        add_to_board(paths[1:], AddOptions(where, benchmark, files, data_root(data), trust_keys))
        return
    if to is not None or benchmark or trust_keys:
        raise UserError("--to, --benchmark and --trust-keys are of 'kdharness leaderboard add'")
    _show_or_write(paths, out, plugin or ())


def _show_or_write(paths: list[Path], out: Path | None, plugin_files: Sequence[Path]) -> None:
    from rich.console import Console

    from kdharness.cli.board_columns import columns_of_plugins
    from kdharness.report.leaderboard import merge
    from kdharness.report.terminal import show
    from kdharness.report.view import ranking_of
    from kdharness.results.finding import find_folders, load_all
    from kdharness.results.store import to_stderr
    from kdharness.results.table import write_csv
    from kdharness.stats.board import NONE, leaderboard as ranking

    found = [folder for path in paths for folder in find_folders(path)]
    once = list({folder.path.resolve(): folder for folder in found}.values())  # a folder named twice counts once
    merged = merge(load_all(once))
    for warning in merged.warnings:
        to_stderr(warning)
    if out is None:
        added = columns_of_plugins(plugin_files) if plugin_files else NONE
        show(ranking_of(merged, added), Console(), whole=bool(added))
        return
    write_csv(ranking(merged.frame, merged.references, columns_of_plugins(plugin_files), to_stderr), out)
    print(f"wrote {out}", file=sys.stderr)
