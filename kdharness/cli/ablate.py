"""`kdharness ablate`: what each part of a method is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from kdharness.cli import options as opt
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt

if TYPE_CHECKING:
    from kdharness.cli.session import RunCommand
    from kdharness.planning.resolve import Resolved


@opt.with_run_options
def ablate(
    options: opt.RunOptions,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The method to take apart.")],
    benchmark: opt.BenchmarkArgument = "digits",
) -> None:
    """Run a method without each of its loss terms, and its declared ablations, and print what each part is worth.

    Beside it run the benchmark's reference methods, or what --methods names.
    """
    from rich.console import Console

    from kdharness.cli.session import carry_out, understand
    from kdharness.planning.ablation import ablation_choices, terms_that_run
    from kdharness.planning.asked import ask
    from kdharness.planning.resolve import resolve
    from kdharness.planning.selection import MethodChoice
    from kdharness.report.terminal import show_parts
    from kdharness.report.view import report_of

    command = understand(benchmark, options)
    if (command.selection.track or command.benchmark.track) == "both":
        raise UserError("ablate takes a method apart in one track: --track default, or --track published")
    registry = command.registry
    factory = registry.get("method", method, "ablate").spec.factory
    method = registry.name_of("method", method)
    beside = _beside(command)
    whole = replace(command.selection, choices=tuple(map(MethodChoice, (method, *beside))))
    resolved = resolve(ask(command.benchmark, whole), registry)
    terms = terms_that_run(resolved, method) or _found(resolved, method, command)
    selection = replace(command.selection, choices=ablation_choices(method, factory, terms, beside))
    ablation = replace(command, selection=selection)
    raise typer.Exit(carry_out(ablation, lambda found: show_parts(report_of(found), method, Console())))


def _beside(command: RunCommand) -> tuple[str, ...]:
    """The methods to compare with."""
    from kdharness.planning.declared import proved

    registry, selection = command.registry, command.selection
    names = command.benchmark.references if selection.methods is None else selection.methods
    where = command.benchmark.place if selection.methods is None else "--methods"
    names = proved(registry.methods) if "all" in names else names
    for name in names:
        registry.get("method", name, where)
    for name in selection.skip:
        registry.get("method", name, "--skip")
    skipped = {registry.name_of("method", name) for name in selection.skip}
    return tuple(name for name in (registry.name_of("method", name) for name in names) if name not in skipped)


def _found(resolved: Resolved, method: str, command: RunCommand) -> tuple[str, ...]:
    """The loss terms of a method that declares none, by a step of its first cell; a warning where that fails."""
    from kdharness.engine.probe import find_terms
    from kdharness.planning.compatibility import on_meta_device
    from kdharness.planning.expand import expand

    cells = [p.cell for p in expand(resolved, on_meta_device(resolved)).cells if not p.skip]
    cell = next((c for c in cells if c.role == "student" and c.method == method), None)
    if cell is None:
        return ()
    found = attempt(lambda: find_terms(cell, command.registry, command.selection.data_root))
    if not isinstance(found, Failure):
        return found
    what = f"method '{method}' declares no loss terms, and a step to find them failed ({found.error})"
    opt.warn(f"{what}; none is dropped")
    return ()
