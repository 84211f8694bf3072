"""`kdharness verify`: whether a results folder, or a bundle of one, is what it says."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdharness.cli.options import Plugins, warn

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry
    from kdharness.results.checks.numbers import Evidence, Place
    from kdharness.results.record import Record
    from kdharness.results.store import ResultsFolder


def verify(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|BUNDLE", help="Results root, one benchmark's folder, or a bundle of one.")
    ] = Path("results"),
    exact: Annotated[
        bool, typer.Option("--exact", help="Count every number by its own metric, with torch: to the last bit.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Count again what records and tables say, and find what was edited, is missing, or does not belong."""
    from kdharness.results.finding import find_folders
    from kdharness.results.reading import collector_paused

    with collector_paused():
        found = [_verified(folder, exact, plugin or []) for folder in find_folders(source, _nothing)]
    if any(found):
        raise typer.Exit(1)


def _verified(folder: ResultsFolder, exact: bool, plugins: list[Path]) -> bool:
    """Prints what is found of a folder; whether something is wrong."""
    from kdharness.report.table_check import findings_of_tables
    from kdharness.results.checks.verification import verify_folder
    from kdharness.text import printable

    found = verify_folder(folder, _Metrics(plugins), exact)
    found.findings += findings_of_tables(found.contents)
    print(printable(f"{folder.path}:"))
    for finding in found.findings:
        print(finding)
    for line in found.lines():
        print(printable(line))
    return bool(found.wrong)


def _nothing(line: str) -> None:
    """What cannot be read is a finding, said with the others."""


class _Metrics:
    """Counts by the installed metrics. Loads torch and plugins when it is first asked."""

    def __init__(self, plugins: list[Path]) -> None:
        self._plugins = plugins

    @cached_property
    def _registry(self) -> Registry:
        from kdharness.registry.manager import Registry

        registry = Registry.load(self._plugins)
        for warning in registry.warnings:
            warn(warning)
        return registry

    def __call__(self, record: Record, evidence: Evidence) -> Mapping[Place, float]:
        from kdharness.measure.recount import recounted  # loads torch

        return recounted(self._registry, record, evidence)
