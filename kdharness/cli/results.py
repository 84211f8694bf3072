"""`kdharness results`: prune forgets what former commands left undone and what can be made again, export writes what is
there as tables.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kdharness.errors import UnknownName, UserError

ACTIONS = ("prune", "export")
FORMATS = ("csv", "parquet")


def results(
    action: Annotated[
        str,
        typer.Argument(
            metavar="[prune|export]",
            help="prune: drop cells that are not ok and that the newest command does not ask for. export: write all "
            "tables and curves.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
    damaged: Annotated[
        bool,
        typer.Option("--damaged", help="prune: drop cells and plans too that cannot be read, whatever they were."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="prune: do it; without it, only say what would go.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="export: where to.")] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="[csv|parquet]", help="export: how it is written.")
    ] = FORMATS[0],
) -> None:
    """Put a results folder in order, or write what it holds as tables."""
    if action not in ACTIONS:
        raise UnknownName("action", action, ACTIONS, "kdharness results")
    if action == "prune":
        if out is not None or form != FORMATS[0]:
            raise UserError("kdharness results prune: --out and --format are of 'kdharness results export'")
        _prune(folder, damaged, yes)
        return
    if damaged or yes:
        raise UserError("kdharness results export: --yes and --damaged are of 'kdharness results prune'")
    if out is None:
        raise UserError("kdharness results export: --out FOLDER says where to")
    if form not in FORMATS:
        raise UnknownName("format", form, FORMATS, "--format")
    _export(folder, out, form)


def _export(folder: Path, out: Path, form: str) -> None:
    from kdharness.frames import load
    from kdharness.frames.export import Format, export

    for path in export(load(folder), out, Format(form)):
        print(f"wrote {path}", file=sys.stderr)


def _prune(folder: Path, damaged: bool, yes: bool) -> None:
    from kdharness.results.finding import find_folders
    from kdharness.results.kept_outputs import KeptOutputs
    from kdharness.text import printable

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
