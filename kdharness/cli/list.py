"""`kdharness list`: what is installed, and where each thing came from."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdharness.cli.options import Plugins
from kdharness.errors import UnknownName, UserError
from kdharness.text import printable, put

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry

Row = dict[str, Any]
Line = tuple[str, str]  # a text and its style

KIND_HELP = (
    "benchmarks, methods, models, datasets, views, metrics, optimizers, columns, executors, loggers or plugins; "
    "without it, all."
)
Kind = Annotated[str | None, typer.Argument(metavar="[KIND]", help=KIND_HELP)]
Json = Annotated[bool, typer.Option("--json", help="Print a list of objects, and nothing else, to stdout.")]


Pairs = Annotated[
    bool, typer.Option("--pairs", help="Of methods: on which of the standard pairs each runs, and why not on others.")
]


def list_installed(kind: Kind = None, json: Json = False, plugin: Plugins = None, pairs: Pairs = False) -> None:
    """Show what is installed, and the package, version and file it came from."""
    from kdharness.cli.inventory import KINDS, overview, rows_of
    from kdharness.registry.manager import Registry

    if kind is not None and kind not in KINDS:
        raise UnknownName("kind", kind, KINDS, "kdharness list")
    registry = Registry.load(plugin or ())
    if pairs and kind != "methods":
        raise UserError("--pairs is about methods: kdharness list methods --pairs")
    rows = _pair_rows(registry) if pairs else overview(registry) if kind is None else rows_of(kind, registry)
    if json:
        print(json_module.dumps(rows, indent=2))
    else:
        _show("pairs" if pairs else kind or "overview", rows)
    for warning in registry.warnings:
        print(printable(f"warning: {warning}"), file=sys.stderr if json else sys.stdout)


def _show(kind: str, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    special = {
        "overview": _overview_lines,
        "benchmarks": _benchmark_lines,
        "plugins": _plugin_lines,
        "pairs": _pair_lines,
    }
    lines_of = special.get(kind, _spec_lines)
    for row in rows:
        lines = [Text(printable(text), style) for text, style in lines_of(row) if text]
        table.add_row(Text(printable(row["kind"] if kind == "overview" else row["name"])), Text("\n").join(lines))
    put(Console(highlight=False), table if rows else f"there are no {kind}")


def _pair_rows(registry: Registry) -> list[Row]:
    from kdharness.planning.matrix import standard_matrix  # loads torch

    found = standard_matrix(registry)
    return [{"name": each.method, "runs": each.runs, "pairs": dict(each.skips)} for each in found]


def _pair_lines(row: Row) -> list[Line]:
    """On how many pairs it runs; then each reason, with the pairs that it is of."""
    skipped: dict[str, list[str]] = {}
    for pair, reason in row["pairs"].items():
        if reason:
            skipped.setdefault(reason, []).append(pair)
    whole = "" if skipped else "all "
    lines = [(f"runs on {whole}{row['runs']}" + (f" of {len(row['pairs'])}" if skipped else ""), "")]
    return [*lines, *((f"skipped on {', '.join(pairs)}: {reason}", "dim") for reason, pairs in skipped.items())]


def _overview_lines(row: Row) -> list[Line]:
    return [(f"{row['count']}", "bold"), (", ".join(row["names"]), "")]


def _benchmark_lines(row: Row) -> list[Line]:
    return [(row["summary"], ""), (_origin(row), "dim")]


def _plugin_lines(row: Row) -> list[Line]:
    origin = _origin(row) + (", editable" if row["editable"] else "")
    return [(", ".join(row["hooks"]), ""), *((error, "red") for error in row["errors"]), (origin, "dim")]


def _spec_lines(row: Row) -> list[Line]:
    settings = " ".join(f"{p['name']}={p['default']}" for p in row.get("parameters", ()))
    terms = ", ".join(f"{name} ({tag})" for name, tag in (row.get("terms") or {}).items())
    notes = (
        _reads(row.get("reads")),
        f"terms {terms}" if terms else "",
        f"regime {row['regime']}" if row.get("regime") else "",
        f"published parameters for {', '.join(row['published'])}" if row.get("published") else "",
        f"needs {', '.join(row['needs'])}" if row.get("needs") else "",
        "on request: not part of 'all'" if row.get("on_request") else "",
    )
    return [
        (row["summary"], ""),
        (row.get("paper", ""), "dim"),
        (settings, "cyan"),
        ("; ".join(filter(None, notes)), ""),
        (f"unproved: {row['unproved']}" if row.get("unproved") else "", "yellow"),
        (_origin(row), "dim"),
    ]


def _reads(reads: Row | list[str] | None) -> str:
    """What a method reads beside images and labels, or an optimiser of the recipe."""
    if not reads:
        return ""
    if isinstance(reads, list):
        return f"reads {', '.join(reads)}"
    parts = {"none": [], "one": ["one teacher"], "many": ["many teachers"]}[reads["teachers"]]
    parts += _taps(reads["taps"], reads["teacher_taps"])
    parts += ["indices"] if reads["indices"] else []
    parts += [f"{len(reads['views'])} views"] if len(reads["views"]) > 1 else []
    parts += ["partners of the same class"] if reads["partners"] == "same_class" else []
    return f"reads {', '.join(parts)}" if parts else ""


def _taps(taps: list[str], teacher_taps: list[str] | None) -> list[str]:
    """Features, and whose they are where student and teachers are read differently."""
    if teacher_taps is None or teacher_taps == taps:
        return [tap.replace("_", "-") for tap in taps]
    sides = (("student", taps), ("teacher", teacher_taps))
    return [f"{tap.replace('_', '-')} of the {side}" for side, each in sides for tap in each]


def _origin(row: Row) -> str:
    package = f"{row['package']} {row['version']}" if row["package"] else "single file"
    revision = f", revision {row['revision']}" if row.get("revision") is not None else ""
    return f"{package}{revision}, {_short(row['file'])}"


def _short(file: str) -> str:
    """A path from the working directory where it lies below it."""
    path, here = Path(file), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else file
