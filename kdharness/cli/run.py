"""`kdharness run`: from a benchmark to a leaderboard."""

from __future__ import annotations

import typer

from kdharness.cli import options as opt
from kdharness.process.collector import seldom_collected


@opt.with_run_options
def run(options: opt.RunOptions, benchmark: opt.BenchmarkArgument = "digits") -> None:
    """Run a benchmark's matrix and print its leaderboard. Running again continues."""
    with seldom_collected():
        from kdharness.cli.session import carry_out, understand

    raise typer.Exit(carry_out(understand(benchmark, options)))
