"""`kdharness results prune`: forgets what former commands left undone, and what can be made again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kdharness.errors import UnknownName

ACTIONS = ("prune",)


def results(
    action: Annotated[
        str,
        typer.Argument(
            metavar="prune", help="prune: drop cells that are not ok and that the newest command does not ask for."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
    damaged: Annotated[
        bool, typer.Option("--damaged", help="Drop cells and plans too that cannot be read, whatever they were.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would go.")] = False,
) -> None:
    """Put a results folder in order. What is ok stays."""
    from kdharness.results.finding import find_folders
    from kdharness.results.kept_outputs import KeptOutputs
    from kdharness.text import printable

    if action not in ACTIONS:
        raise UnknownName("action", action, ACTIONS, "kdharness results")
    for found in find_folders(folder):
        with found.lock(lambda message: print(printable(message), file=sys.stderr)):
            pruning, tables = found.pruning(damaged), KeptOutputs(found.path)
            room = tables.bytes_on_disk()
            if yes:
                pruning.carry_out()
                tables.drop()
        drops = "dropped" if yes else "would drop"
        cells, plans = len(pruning.cells), sum(plan is None for plan in pruning.plans.values())
        what = f"{_counted(cells, 'cell')} that are not ok, {_counted(plans, 'plan')} of which nothing is left"
        kept = f", view tables of {room / 1e6:.1f} MB" if room else ""
        print(printable(f"{found.path}: {drops} {what}{kept}"))
        for path, fault in pruning.damaged.items():
            print(printable(f"{path}: {drops if damaged else 'stays'}, cannot be read ({fault.reason})"))
        if pruning.damaged and not damaged:
            print("--damaged drops what cannot be read, too", file=sys.stderr)
    if not yes:
        print("nothing was changed; --yes does it", file=sys.stderr)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
