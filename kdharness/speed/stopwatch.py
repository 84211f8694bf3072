"""Time of a block: what this process and its children computed, how long it took, and which part took what."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce

from kdharness.device.clock import Clock
from kdharness.device.device import Device
from kdharness.device.names import is_cpu

# Parts of training. "rest": building cells, hooks, checks, files.
VIEWS, TEACHER, STUDENT, LOSS, BACKWARD, OPTIMIZER, EVALUATION, REST = PARTS = (
    "views",
    "teacher",
    "student",
    "loss",
    "backward",
    "optimizer",
    "evaluation",
    "rest",
)


@dataclass(frozen=True)
class Lap:
    """What one measurement took.

    cpu: seconds that this process and its children computed.
    wall: seconds.
    parts: seconds by name of the part, on the device's own clock.
    """

    cpu: float
    wall: float
    parts: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: Lap) -> Lap:
        parts = {name: self.parts.get(name, 0.0) + other.parts.get(name, 0.0) for name in {*self.parts, *other.parts}}
        return Lap(self.cpu + other.cpu, self.wall + other.wall, parts)


def total(laps: list[Lap]) -> Lap:
    """All of them one after the other."""
    return reduce(Lap.__add__, laps)


class CpuClock(Clock):
    """Counts what this process computed, for a machine that is busy with other work."""

    def _mark(self) -> float:
        return time.process_time()


def parts_clock(device: Device) -> Clock:
    """The clock that parts are charged on."""
    return CpuClock() if is_cpu(device.name) else device.clock()


def children_seconds() -> float:
    """What processes computed that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


class Stopwatch:
    """Times blocks on a device. clock: parts of a block are charged there."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.clock = parts_clock(device)
        self.laps: list[Lap] = []

    @contextmanager
    def lap(self) -> Iterator[None]:
        """Adds a lap once the block has ended; what raises leaves none. Children compute views, nothing else."""
        self.device.synchronize()
        children, cpu, wall = children_seconds(), time.process_time(), time.perf_counter()
        with self.clock.charge(REST):
            yield
        self.device.synchronize()
        wall, cpu, children = time.perf_counter() - wall, time.process_time() - cpu, children_seconds() - children
        self.clock.settle()
        parts = {name: self.clock.take(name) for name in PARTS}
        parts[VIEWS] += children
        self.laps.append(Lap(cpu + children, wall, parts))
