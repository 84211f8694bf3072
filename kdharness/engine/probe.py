"""The loss terms of a method that does not declare them, found by taking one step of each of its phases."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from kdharness.api.declarations import Tap
from kdharness.data.batches import Pass
from kdharness.data.watched import Watched
from kdharness.device.clock import Timers
from kdharness.device.random import default_generators_kept
from kdharness.engine.teachers import Teacher, TeacherBatch
from kdharness.engine.trainee import Trainee
from kdharness.engine.world import World
from kdharness.planning.cell import Cell
from kdharness.registry.manager import Registry
from kdharness.results.store import ResultsFolder


def find_terms(cell: Cell, registry: Registry, data_root: Path) -> tuple[str, ...]:
    """The names of all that the cell's method sums, in the order of its phases. All networks are as initialised.

    Nothing is kept of it. Whatever the method raises passes through.
    """
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as folder, default_generators_kept(device):
        world = World(registry, ResultsFolder(folder), data_root, device, download=False)
        data = world.data(cell)
        networks = [world.new_model(source.model, data, "teacher", 0) for source in cell.teachers]
        teachers = [Teacher(network, "", math.nan, torch.zeros(0)) for network in networks]
        trainee = Trainee(replace(cell, start=None), 0, world, data, teachers)
        trainee.lengths = [1] * len(trainee.phases)
        found: dict[str, None] = {}
        while not trainee.finished:
            found.update(dict.fromkeys(_step(trainee)))
    return tuple(found)


def _step(trainee: Trainee) -> Sequence[str]:
    """The terms of the phase that the trainee is in, which one step ends."""
    request, data = trainee.request(), trainee.data
    samples = Pass(request, data.train, data.subsets[request.subset], data.targets).samples(0)
    taps: dict[int, Sequence[Tap]] = {id(teacher): trainee.reads.taps for teacher in trainee.teachers}
    outputs = TeacherBatch(samples, taps, request.bf16, Timers(trainee.device), Watched())
    trainee.step(samples, outputs, torch.zeros(()), measure=False)
    values = trainee.end_epoch()
    curves = trainee.method.curves()
    return [name for name in values if name not in curves]
