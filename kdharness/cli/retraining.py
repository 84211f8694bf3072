"""What `verify --rerun` does: trains cells of a finished folder in another one, and compares."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from kdharness.cli.options import warn
from kdharness.text import printable

if TYPE_CHECKING:
    from kdharness.results.checks.finding import Finding
    from kdharness.results.contents import Contents


@dataclass(frozen=True)
class Again:
    """How many cells are drawn, by which seed, and how they are trained."""

    count: int
    seed: int
    device: str
    data_root: Path
    plugins: tuple[Path, ...]


def trained_again(contents: Contents, again: Again) -> Iterator[Finding]:
    """Prints what was drawn and what came out the same; gives what did not. Loads torch."""
    from kdharness.cli.precision import check_precision
    from kdharness.cli.session import RunRequest, run_plan
    from kdharness.device.names import slots
    from kdharness.execution.run import INTERRUPTED_EXIT
    from kdharness.registry.manager import Registry
    from kdharness.results.checks.again import compared, draw, prepare
    from kdharness.results.store import ResultsFolder

    drawn = draw(contents, again.count, again.seed)
    labels = ", ".join(record.cell.label for record in drawn.records) or "none"
    print(printable(f"to be trained again (--seed {again.seed}): {labels}"))
    for reason, count in drawn.left_out.items():
        print(printable(f"{count} cells cannot be: {reason}"))
    if not drawn.records:
        return
    registry = Registry.load(again.plugins)
    with tempfile.TemporaryDirectory(prefix="kdharness-again-") as root:
        folder = ResultsFolder(Path(root) / contents.name, warn)
        plan = prepare(contents, drawn.records, folder, registry.metrics)
        request = RunRequest(
            plan=plan,
            registry=registry,
            out=Path(root),
            devices=slots(again.device, 1),
            executor="local",
            data_root=again.data_root,
            download=False,
            plugin_files=tuple(path.resolve() for path in again.plugins),
            timeout_seconds=None,
            teacher_top1_floor=0.0,
            rerun=None,
            show=lambda contents: None,
        )
        check_precision(plan, request.devices)
        if run_plan(request) == INTERRUPTED_EXIT:
            raise typer.Exit(INTERRUPTED_EXIT)  # what was not trained says nothing of the folder
        for record in drawn.records:
            found = compared(contents, record, folder)
            if isinstance(found, str):
                print(printable(found))
            else:
                yield found
