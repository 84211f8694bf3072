"""`kdharness bundle`: a results folder as one file, for whoever is to check it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def bundle(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Results root, or one benchmark's folder.")] = Path(
        "results"
    ),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.zip", help="Where to; else <folder>.zip, here.")
    ] = None,
    weights: Annotated[
        bool | None,
        typer.Option(
            "--weights/--no-weights",
            help="All weights, or none; else those that taught others, where they are 100 MB together at most.",
        ),
    ] = None,
) -> None:
    """Pack plans, records, curves, predictions and tables, with the SHA-256 of each; never what is private."""
    from kdharness.results.bundles.members import chosen_weights, members_of
    from kdharness.results.bundles.packing import write_bundle
    from kdharness.results.finding import find_folders
    from kdharness.text import printable
    from kdharness.weights.digests import sha256_of

    found = members_of(find_folders(folder))
    kept, line = chosen_weights(found, weights)
    path = out or Path(f"{folder.resolve().name}.zip")
    files = {**found.files, **kept}
    write_bundle(path, files, found.environment)
    for each in filter(None, (line, *found.notes)):
        print(printable(each), file=sys.stderr)
    print(printable(f"wrote {path}: {len(files)} files, {path.stat().st_size / 1e6:.1f} MB, SHA-256 {sha256_of(path)}"))
