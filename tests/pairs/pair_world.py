"""The standard pairs: cells of all methods as `cifar100` plans them, on images that are made up, and their steps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, reduce
from operator import or_
from pathlib import Path
from typing import Any

import numpy as np

from kdharness.api import DataRequest, DatasetInfo, DatasetSpec, ImageDataset, Split, hookimpl
from kdharness.api.declarations import Wanted
from kdharness.api.staged import StagedModel
from kdharness.data.prepare import Data
from kdharness.device.device import Device
from kdharness.engine.networks import NetworkFactory
from kdharness.engine.teachers import Teacher, TeacherStore
from kdharness.engine.world import World
from kdharness.planning import make_plan
from kdharness.planning.cell import STUDENT, Cell, canonical
from kdharness.planning.plan import PlannedCell
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.variant import made
from kdharness.registry.loading import Plugin, installed_plugins
from kdharness.registry.manager import Registry
from kdharness.registry.source import Source
from kdharness.results.store import ResultsFolder

# The thirteen, and the four that logit standardisation adds to them, by one recipe.
PAIRS = tuple(str(pair) for name in ("cifar100", "cifar100-lskd") for pair in load(name).pairs)

IMAGES = "images_like_cifar100"
CLASSES, SHAPE = 100, (3, 32, 32)
# Two of each class, so that each has a partner.
TRAIN, TEST = 2 * CLASSES, CLASSES

# What a benchmark names for a pair.
NAMED = ("takd.assistant=resnet14",)


class _Images:
    """A plugin with a small dataset of CIFAR-100's shape and classes."""

    @hookimpl
    def kdharness_datasets(self) -> Iterable[DatasetSpec]:
        yield DatasetSpec(IMAGES, self.describe, self.load, summary="made up")

    def describe(self, request: DataRequest) -> DatasetInfo:
        return DatasetInfo(IMAGES, CLASSES, SHAPE, TRAIN)

    def load(self, request: DataRequest) -> ImageDataset:
        names = tuple(map(str, range(CLASSES)))
        return ImageDataset({"train": _split(TRAIN), "test": _split(TEST)}, names, mean=(0.5,) * 3, std=(0.25,) * 3)


def _split(samples: int) -> Split:
    images = np.random.default_rng(samples).integers(0, 256, (samples, *SHAPE), dtype=np.uint8)
    return Split(images, np.arange(samples, dtype=np.int64) % CLASSES)


def registry_with(*plugins: object) -> Registry:
    """What is installed, the images, and these."""
    given = [Plugin(type(plugin).__name__, plugin, _source(plugin)) for plugin in (_Images(), *plugins)]
    return Registry([*installed_plugins(), *given])


def _source(plugin: object) -> Source:
    return Source("", "", __file__, type(plugin).__qualname__, kind="file", digest="made up")


@cache
def built_in() -> Registry:
    return registry_with()


@cache
def planned_on_pairs(registry: Registry, methods: tuple[str, ...] = ("all",)) -> dict[str, dict[str, PlannedCell]]:
    """By pair and method. A method without a teacher has one cell for all pairs of its student."""
    standard = load("cifar100")
    pairs = (*standard.pairs, *load("cifar100-lskd").pairs)
    benchmark = standard.model_copy(update={"datasets": (IMAGES,), "pairs": pairs})
    settings = NAMED if methods == ("all",) else ()
    selection = Selection(methods, seeds=(0,), scenarios=("clean",), epochs=2, settings=settings)
    found: dict[str, dict[str, PlannedCell]] = {pair: {} for pair in PAIRS}
    for planned in make_plan(benchmark, selection, registry).cells:
        cell = planned.cell
        if cell.role == STUDENT:
            for pair in PAIRS:
                if str(cell.pair) == pair or (not cell.pair.teachers and cell.student == pair.partition(":")[2]):
                    found[pair][cell.method] = planned
    return found


class _NetworksOnce(NetworkFactory):
    """Makes a network once, and gives copies of it."""

    def __init__(self, given: NetworkFactory) -> None:
        super().__init__(given.registry, given.device, given.initial)
        self._made: dict[tuple[str, str, int], StagedModel] = {}

    def make(self, network: Mapping[str, Any], data: Data, role: str, seed: int, recipe: Recipe) -> StagedModel:
        key = (canonical(dict(network)), role, seed)
        if key not in self._made:
            self._made[key] = super().make(network, data, role, seed, recipe)
        return copy.deepcopy(self._made[key])


class _TeachersOnce(TeacherStore):
    """Gives all cells the same teachers, as in a group."""

    def __init__(self, given: TeacherStore, networks: NetworkFactory) -> None:
        super().__init__(networks, given.folder, given.device, given.floor)
        self._untrained: dict[str, list[Teacher]] = {}

    def untrained(self, cell: Cell, data: Data) -> list[Teacher]:
        key = canonical([dict(source.network) for source in cell.teachers])
        if key not in self._untrained:
            self._untrained[key] = super().untrained(cell, data)
        return self._untrained[key]


def world_on(device: Device, registry: Registry) -> World:
    """One in which networks and untrained teachers are made once for all cells."""
    world = World(registry, ResultsFolder(Path()), Path(), device)
    world.networks = _NetworksOnce(world.networks)
    world.teachers = _TeachersOnce(world.teachers, world.networks)
    return world


def wanted_of_teachers(cells: Sequence[Cell], registry: Registry) -> Wanted:
    """The union of what the cells' methods read."""
    methods = (made(registry.get("method", cell.method).spec, cell.parameters) for cell in cells)
    return reduce(or_, (method.reads.of_teachers for method in methods), Wanted())
