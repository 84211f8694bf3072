"""Whether what a cell costs depends on the cells that it is trained beside: alone_seconds alone, and in a group.

    python benchmarks/speed/neighbours.py [--pair resnet20:resnet8] [--methods vanilla,kd,at,dml] [--rounds 5]
        [--images 512] [--cpu]

The methods are measured alone and among eight, in turn, in one process; medians over the rounds.
With --cpu the clock counts CPU seconds of this process, for a machine that is busy with other work.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import torch

from kdharness.device.clock import Clock
from kdharness.device.device import Device
from kdharness.device.door import open_device
from kdharness.protocol.benchmark import parse
from kdharness.speed import random_images
from kdharness.testing import Lab

PLUGIN = Path(random_images.__file__)
BESIDE = ("vanilla", "kd", "at", "dml", "dkd", "sp", "pkt", "dist")
RECIPE = {"epochs": 1, "batch_size": 64}


class CpuClock(Clock):
    """Counts what this process computed, rather than what time it was."""

    def _mark(self) -> float:
        return time.process_time()


class BusyCpu(Device):
    """The CPU with that clock."""

    def clock(self) -> Clock:
        return CpuClock()


Times = dict[tuple[str, str], list[float]]


def measured(pair: str, methods: tuple[str, ...], rounds: int, images: int, device: Device) -> Times:
    """Seconds by method and column, "alone" for alone_seconds of a cell that is by itself. images: to train on; half as
    many are evaluated.
    """
    found: Times = defaultdict(list)
    content = {"name": "speed", "datasets": [random_images.NAME], "pairs": [pair], "seeds": [0], "recipe": RECIPE}
    content["dataset"] = {random_images.NAME: {"images": images, "evaluated": images // 2}}
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder), plugin_files=(PLUGIN,), metrics=(), device=device)
        plan = lab.plan(parse(content, "speed"), methods=BESIDE, epochs=None)
        cells = [planned.cell for planned in plan.cells if not planned.skip]
        students = [cell for cell in cells if cell.role == "student"]
        lab.train([cell for cell in cells if cell.role == "teacher"])
        lab.train(students)  # warms up allocator and caches
        for _ in range(rounds):
            for cell in students:
                if cell.method in methods:
                    found[cell.method, "alone"].append(lab.train([cell])[cell.key].values["alone_seconds"])
            for record in lab.train(students).values():
                for column in ("alone_seconds", "train_seconds", "shared_seconds"):
                    found[record.cell.method, column].append(record.values[column])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="resnet20:resnet8")
    parser.add_argument("--methods", default="vanilla,kd,at,dml")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    methods = tuple(given.methods.split(","))
    unit = "CPU seconds" if given.cpu else "seconds"
    print(f"{platform.machine()}, torch {torch.__version__}, one thread, {given.pair}, {given.rounds} rounds, {unit}")
    device = BusyCpu("cpu") if given.cpu else open_device("cpu")
    found = measured(given.pair, methods, given.rounds, given.images, device)
    for method in methods:
        alone, group, own, shared = (
            statistics.median(found[method, column])
            for column in ("alone", "alone_seconds", "train_seconds", "shared_seconds")
        )
        print(
            f"{method:8s} alone {alone:.2f} s, among {len(BESIDE)} {group:.2f} s, ratio {group / alone:.3f};"
            f" there own {own:.2f} s, share {shared:.2f} s"
        )


if __name__ == "__main__":
    main()
