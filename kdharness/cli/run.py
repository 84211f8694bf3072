"""`kdharness run`: from a benchmark to a leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from kdharness.cli import options as opt
from kdharness.errors import UserError, unknown


def run(
    benchmark: opt.BenchmarkArgument = "digits",
    methods: opt.Methods = None,
    skip: opt.Skip = None,
    datasets: opt.Datasets = None,
    pairs: opt.Pairs = None,
    seeds: opt.Seeds = None,
    scenarios: opt.Scenarios = None,
    settings: opt.Settings = None,
    epochs: opt.Epochs = None,
    device: opt.Device = "auto",
    workers: opt.Workers = None,
    executor: opt.ExecutorName = "local",
    teacher: opt.Teachers = None,
    data: opt.Data = None,
    download: opt.Download = False,
    plugin: opt.Plugins = None,
    out: opt.Out = Path("results"),
    timeout: opt.Timeout = None,
    dry_run: opt.DryRun = False,
    rerun: opt.Rerun = None,
    yes: opt.Yes = False,
) -> None:
    """Run a benchmark's matrix and print its leaderboard. Running again continues."""
    from kdharness.cli.session import RunRequest, dry, run_plan
    from kdharness.matrix.benchmark import load, parse_seeds
    from kdharness.matrix.expand import expand
    from kdharness.matrix.selection import Selection
    from kdharness.registry.manager import Registry

    if rerun not in (None, "failed", "all"):
        raise unknown("value", rerun, ("failed", "all"), "--rerun")
    if rerun == "all" and not (yes or dry_run) and sys.stdin.isatty():
        typer.confirm("Run every cell again and replace its record?", abort=True)
    try:
        chosen_seeds = None if seeds is None else parse_seeds(seeds)
    except ValueError as error:
        raise UserError(f"--seeds: {error}") from None
    registry = Registry.load(plugin or ())
    for broken in registry.broken:
        opt.warn(f"plugin {broken.name} is not used: {broken.error}")
    protocol = load(benchmark)
    selection = Selection(
        methods=opt.words(methods),
        skip=opt.words(skip) or (),
        datasets=opt.words(datasets),
        pairs=opt.words(pairs),
        scenarios=opt.words(scenarios),
        seeds=chosen_seeds,
        settings=tuple(settings or ()),
        epochs=epochs,
        teachers=tuple(teacher or ()),
        data_root=opt.data_root(data),
        download=download,
    )
    plan = expand(protocol, selection, registry, sys.argv[1:])
    request = RunRequest(
        plan=plan,
        registry=registry,
        out=out,
        devices=opt.slots(device, workers, executor),
        executor=executor,
        data_root=selection.data_root,
        download=download,
        plugin_files=tuple(path.resolve() for path in plugin or ()),
        timeout_seconds=timeout,
        teacher_top1_floor=protocol.teacher_top1_floor,
        rerun=rerun,
    )
    raise typer.Exit(dry(request) if dry_run else run_plan(request))
