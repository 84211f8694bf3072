"""The loss terms of a method that does not declare them, found by taking one step of each of its phases."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kdharness.data.batches import EpochBatches
from kdharness.device.door import open_device
from kdharness.device.ledger import Ledger
from kdharness.device.random import default_generators_kept
from kdharness.engine.builder import build
from kdharness.engine.lockstep import SharedBatch
from kdharness.engine.member import Member
from kdharness.engine.phase_clock import PhaseClock
from kdharness.engine.world import World
from kdharness.planning.cell import Cell
from kdharness.registry.manager import Registry
from kdharness.results.store import ResultsFolder


def find_terms(cell: Cell, registry: Registry, data_root: Path) -> tuple[str, ...]:
    """The names of all that the cell's method sums, in the order of its phases. All networks are as initialised.

    Nothing is kept of it. Whatever the method raises passes through.
    """
    device = open_device("cpu")
    with tempfile.TemporaryDirectory() as folder, default_generators_kept(device.default_generators()):
        world = World(registry, ResultsFolder(folder), data_root, device)
        data = world.data.of(cell)
        cell, teachers = replace(cell, start=None), world.teachers.untrained(cell, data)
        member = Member(cell, 0, world, data, teachers, build(cell, world, data, teachers))
        phases = member.clock.phases
        member.state.clock = PhaseClock(phases, [1] * len(phases))
        found: dict[str, None] = {}
        while not member.finished:
            found.update(dict.fromkeys(_step(member, world)))
    return tuple(found)


def _step(member: Member, world: World) -> Sequence[str]:
    """The terms of the phase that the member is in, which one step ends."""
    ledger = Ledger(member.device.clock())
    batches = EpochBatches(member.request(), member.data, world.view, member.device, ledger)
    shared = SharedBatch(batches.samples(0), [member], (*batches.axes, 0))
    info = member.info(member.clock.place(0, 1), shared.numbers)
    seen = shared.seen_by(member, info)
    member.step(seen.samples, seen, info, measure=False)
    values = member.end_epoch()
    curves = member.method.curves()
    return [name for name in values if name not in curves]
