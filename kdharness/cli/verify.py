"""`kdharness verify`: whether a results folder, or a bundle of one, is what it says."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdharness.cli.options import Data, Device, Plugins, data_root, warn
from kdharness.cli.retraining import Again, trained_again
from kdharness.errors import UserError

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
    rerun: Annotated[
        int, typer.Option("--rerun", metavar="N", help="Train N cells again, drawn at random, and compare.", min=0)
    ] = 0,
    seed: Annotated[int | None, typer.Option(help="Of the draw; else a new one, which is said.", min=0)] = None,
    device: Device = "auto",
    data: Data = None,
    plugin: Plugins = None,
) -> None:
    """Count again what records and tables say, and find what was edited, is missing, or does not belong."""
    from kdharness.device.names import check_device
    from kdharness.process.collector import collector_paused
    from kdharness.registry.loading import read_file
    from kdharness.results.bundles.unpacking import is_bundle, unpack

    check_device(device)
    for path in plugin or ():  # they are loaded where something asks for them alone
        read_file(path)
    again = Again(
        rerun, secrets.randbelow(2**32) if seed is None else seed, device, data_root(data), tuple(plugin or ())
    )
    with collector_paused(), tempfile.TemporaryDirectory(prefix="kdharness-") as folder:
        wrong = False
        if is_bundle(source):
            for finding in unpack(source, Path(folder)):
                print(finding)
                wrong = True
        root = Path(folder) if is_bundle(source) else source
        found = [_verified(each, root, exact, again) for each in _folders(source, root)]
    if wrong or any(found):
        raise typer.Exit(1)


def _folders(source: Path, root: Path) -> list[ResultsFolder]:
    """UserError where there is none: a bundle may lie there to be named itself."""
    from kdharness.results.finding import find_folders

    try:
        return find_folders(root, _nothing)
    except UserError as error:
        if root != source:
            raise UserError(f"{source} holds no results") from error
        bundles = sorted(source.glob("*.zip")) if source.is_dir() else []
        if not bundles:
            raise
        raise UserError(f"'{source}' holds no results, but {bundles[0].name}: verify '{bundles[0]}'") from error


def _verified(folder: ResultsFolder, root: Path, exact: bool, again: Again) -> bool:
    """Prints what is found of a folder; whether something is wrong. root: of all that was named."""
    from kdharness.report.table_check import findings_of_tables
    from kdharness.results.checks.verification import verify_folder
    from kdharness.text import printable

    found = verify_folder(folder, _Metrics(again.plugins), exact)
    found.findings += findings_of_tables(found.contents)
    if again.count:
        found.findings += trained_again(found.contents, again)
    print(printable(f"{folder.path.name if folder.path.parent == root else folder.path}:"))
    for finding in found.findings:
        print(finding)
    for line in found.lines():
        print(printable(line))
    return bool(found.wrong)


def _nothing(line: str) -> None:
    """What cannot be read is a finding, said with the others."""


class _Metrics:
    """Counts by the installed metrics. Loads torch and plugins when it is first asked."""

    def __init__(self, plugins: Sequence[Path]) -> None:
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
