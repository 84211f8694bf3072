"""`kdharness ablate`: what each part of a method is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from kdharness.cli import options as opt

if TYPE_CHECKING:
    from kdharness.cli.session import Asked


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

    from kdharness.cli.session import asked, carry_out
    from kdharness.planning.ablation import ablation_choices, declared_terms
    from kdharness.planning.axes import Axes
    from kdharness.planning.selection import MethodChoice
    from kdharness.report.terminal import show_parts
    from kdharness.report.view import report_of

    request = asked(benchmark, options)
    factory = request.registry.get("method", method, "ablate").spec.factory
    beside = _beside(request, options)
    plain = replace(request, selection=replace(request.selection, choices=tuple(map(MethodChoice, (method, *beside)))))
    terms = declared_terms(Axes(plain.benchmark, plain.selection, plain.registry), method) or _found(plain, method)
    choices = ablation_choices(factory, terms, beside)
    selection = replace(request.selection, choices=choices)
    raise typer.Exit(carry_out(request, selection, lambda folder: show_parts(report_of(folder), method, Console())))


def _beside(request: Asked, options: opt.RunOptions) -> tuple[str, ...]:
    """The methods to compare with."""
    registry = request.registry
    given = opt.listed(options.methods)
    names = request.benchmark.references if given is None else given
    where = "--methods" if given is not None else f"benchmark '{request.benchmark.name}'"
    names = tuple(registry.methods) if "all" in names else names
    for name in names:
        registry.get("method", name, where)
    for name in request.selection.skip:
        registry.get("method", name, "--skip")
    return tuple(name for name in names if name not in request.selection.skip)


def _found(request: Asked, method: str) -> tuple[str, ...]:
    """The loss terms of a method that declares none, by a step of its first cell; a warning where that fails."""
    from kdharness.engine.probe import find_terms
    from kdharness.planning.expand import expand

    cells = [p.cell for p in expand(request.benchmark, request.selection, request.registry).cells if not p.skip]
    cell = next((c for c in cells if c.role == "student" and c.method == method), None)
    if cell is None:
        return ()
    try:
        return find_terms(cell, request.registry, request.selection.data_root)
    except Exception as error:  # noqa: BLE001 - a plugin's method may raise anything; its declared ablations still run
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        opt.warn(
            f"method '{method}' declares no loss terms, and a step to find them failed ({reason}); none is dropped"
        )
        return ()
