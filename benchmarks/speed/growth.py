"""How the cost of a run grows with its methods, seeds, images, epochs and workers, and where it goes.

    python benchmarks/speed/growth.py [--rounds 3] [--axes methods,seeds,images,epochs,workers]

Runs `kdharness run digits` in processes of their own, into folders that go again: a small run, and the same with one
thing twice and four times as large, all in turn, round by round. Prints medians: seconds on the clock, CPU seconds of
the process and its workers, cells, and

- growth: CPU seconds to those of the axis's smallest run, medians of the ratios of each round;
- training: the share of CPU seconds that went into steps, evaluation and what cells share; the rest is start-up,
  imports, planning, guards, records and tables. Counted on the clock inside workers: right on an idle machine alone;
- idle: the share of the time of workers, at most as many as there are cores, in which they computed nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

METHODS = ("vanilla", "kd", "dkd", "pkt", "at", "sp", "fitnet", "rkd")


@dataclass(frozen=True)
class Asked:
    """One run. images: labelled ones of a `few` scenario."""

    methods: int = 2
    seeds: int = 2
    images: int = 100
    epochs: int = 20
    workers: int = 1

    def command(self, folder: Path) -> list[str]:
        benchmark = folder / "growing.toml"
        benchmark.write_text(
            'name = "growing"\ndatasets = ["digits"]\npairs = ["conv32:conv16"]\nscenarios = ["few"]\n'
            f'[scenario.few]\nkind = "few"\nimages = {self.images}\n'
            f'[recipe]\nepochs = {self.epochs}\nbatch_size = 32\noptimizer = "sgd"\nlr = 0.05\nmomentum = 0.9\n'
            'weight_decay = 5e-4\nschedule = "cosine"\n[teacher]\nepochs = 2\n',
            encoding="utf-8",
        )
        methods = ",".join(METHODS[: self.methods])
        options = {
            "--methods": methods, "--seeds": f"0-{self.seeds - 1}", "--workers": self.workers, "--device": "cpu",
            "--out": folder,
        }  # fmt: skip
        said = [str(part) for option in options.items() for part in option]
        return [sys.executable, "-m", "kdharness", "run", str(benchmark), *said]


AXES = {
    "methods": (2, 4, 8),
    "seeds": (2, 4, 8),
    "images": (100, 200, 400),
    "epochs": (20, 40, 80),
    "workers": (1, 2, 4),
}
# Two groups for each worker that there is, and more.
MANY_GROUPS = Asked(methods=4, seeds=8)


@dataclass
class Measured:
    """Of each round."""

    asked: Asked
    clock: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    training: list[float] = field(default_factory=list)
    cells: int = 0

    @property
    def idle(self) -> float:
        cores = min(self.asked.workers, os.cpu_count() or 1)
        return statistics.median(1 - cpu / (cores * clock) for cpu, clock in zip(self.cpu, self.clock, strict=True))

    def measure(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder, begun, spent = Path(name), time.perf_counter(), _children()
            command = self.asked.command(folder)
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            self.clock.append(time.perf_counter() - begun)
            self.cpu.append(_children() - spent)
            with (folder / "growing" / "results.csv").open(encoding="utf-8", newline="") as lines:
                rows = {row["cell"]: row for row in csv.DictReader(lines)}
        self.cells = len(rows)
        seconds = sum(float(row["train_seconds"]) + float(row["shared_seconds"]) for row in rows.values())
        self.training.append(seconds / self.cpu[-1])


def _children() -> float:
    spent = os.times()
    return spent.children_user + spent.children_system


def axis_of(name: str, smallest: int | None) -> list[Measured]:
    base = MANY_GROUPS if name == "workers" else Asked()
    sizes = AXES[name] if smallest is None else AXES[name][:smallest]
    return [Measured(replace(base, **{name: size})) for size in sizes]


def line(name: str, run: Measured, least: Measured) -> str:
    growth = statistics.median(own / first for own, first in zip(run.cpu, least.cpu, strict=True))
    clock, cpu = statistics.median(run.clock), statistics.median(run.cpu)
    return (
        f"{name:8} {getattr(run.asked, name):5} {run.cells:6} {clock:8.1f} {cpu:8.1f} {growth:7.2f} "
        f"{100 * statistics.median(run.training):8.0f}% {100 * max(0.0, run.idle):5.0f}%"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--axes", default=",".join(AXES), help="some of them")
    parser.add_argument("--sizes", type=int, default=None, help="how many of each axis, from the smallest")
    given = parser.parse_args(arguments)
    axes = {name: axis_of(name, given.sizes) for name in given.axes.split(",")}
    for _ in range(given.rounds):
        for runs in axes.values():
            for run in runs:
                run.measure()
    print(f"{'axis':8} {'size':>5} {'cells':>6} {'clock s':>8} {'CPU s':>8} {'growth':>7} {'training':>9} {'idle':>6}")
    for name, runs in axes.items():
        for run in runs:
            print(line(name, run, runs[0]))


if __name__ == "__main__":
    main()
