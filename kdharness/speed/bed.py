"""The bed of a bench: random images, a teacher with random weights, and the cells that are trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from kdharness.api.executors import TeacherUse, WorkerSettings
from kdharness.api.specs import ViewInfo
from kdharness.api.staged import StagedModel
from kdharness.data.prepare import Data
from kdharness.device.door import open_device
from kdharness.device.random import default_generators_kept
from kdharness.engine.checkpoint import packed_weights
from kdharness.engine.world import World
from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.cell import Cell, TeacherSource
from kdharness.planning.cell_group import CellGroup
from kdharness.planning.selection import Selection
from kdharness.planning.teacher_uses import TeacherReads
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.protocol.recipe import Recipe
from kdharness.registry.manager import Registry
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder
from kdharness.speed import random_images
from kdharness.speed.parts import PartsGroup, Watch
from kdharness.speed.request import BenchRequest

# Of a teacher, as many epochs as a table wants to see that it pays.
MANY = 1000


class Bed:
    """What one setting of a request is measured on.

    request: its setting is that of the networks. folder: where all files go.
    """

    def __init__(self, request: BenchRequest, folder: Path) -> None:
        self.request = request
        self.path = folder
        images = Path(random_images.__file__)
        self.registry = Registry.load((*request.plugin_files, images))
        self.device = open_device(request.device)
        if reason := self.device.lacks(request.setting.precision):
            raise UserError(f"--precision {request.setting.precision}: {reason} (--device {request.device})")
        self.device.use()
        self.reads = TeacherReads(self.registry)
        self.cells = self._with_teacher(self._planned())
        self._worlds: dict[bool, World] = {}

    # -- what is trained ----------------------------------------------------------------------------------------------

    @property
    def _benchmark(self) -> Benchmark:
        recipe = {"epochs": 1, "batch_size": self.request.batch_size, "lr": 0.01, **self.request.setting.recipe}
        content = {"name": "bench", "datasets": [random_images.NAME], "pairs": [self.request.pair], "seeds": [0]}
        return parse({**content, "recipe": recipe}, "bench")

    def _planned(self, teachers: tuple[str, ...] = ()) -> list[Cell]:
        """The cells of the methods, in their order. UserError for what cannot be measured."""
        settings = (f"{random_images.NAME}.images={self.request.images}",)
        selection = Selection(methods=self.request.methods, settings=settings, teachers=teachers)
        plan = make_plan(self._benchmark, selection, self.registry)
        for planned in plan.cells:
            if planned.skip:
                raise UserError(
                    f"--methods: '{planned.cell.method}' does not run on {self.request.pair}: {planned.skip}"
                )
        cells = [planned.cell for planned in plan.cells if planned.cell.role == "student"]
        by_file = {source.cell for cell in cells for source in (*cell.teachers, *cell.reference_teachers)}
        for cell in cells:
            if set(cell.requires) - by_file:
                raise UserError(f"--methods: '{cell.method}' needs other cells to be trained first: it is not measured")
        if len(cells) != len(self.request.methods):
            missing = sorted({*self.request.methods} - {cell.method for cell in cells})
            raise UserError(f"--methods: nothing of {', '.join(missing) or 'them'} is to be trained on random images")
        return cells

    def _with_teacher(self, cells: list[Cell]) -> list[Cell]:
        """The same cells with a file of random weights for a teacher."""
        found = {source.model: (source, cell) for cell in cells for source in cell.teachers + cell.reference_teachers}
        if not found:
            return cells
        (source, cell), *_ = found.values()
        return self._planned((f"{source.model}={self._random_teacher(source, cell)}",))

    def _random_teacher(self, source: TeacherSource, cell: Cell) -> Path:
        """A file of initial weights whose norms have seen the images: without that, deep networks give huge numbers."""
        world = World(self.registry, ResultsFolder(self.path), self.path, self.device)
        data = world.data.of(cell)
        model = world.networks.make(source.network, data, "teacher", 0, Recipe(epochs=1))
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # plain means
        with torch.no_grad():
            model.train()(data.train.pixels(torch.arange(self.request.batch_size, device=self.device.torch)))
        path = self.path / "teacher.safetensors"
        path.write_bytes(packed_weights(model.network.state_dict()))
        return path

    # -- what it is trained with --------------------------------------------------------------------------------------

    def world(self, tables: bool = False) -> World:
        """Data, teachers and networks. tables: whether what teachers say is kept."""
        if tables not in self._worlds:
            uses = tuple(TeacherUse(source.identity, MANY, 0, 0) for source in self._sources) if tables else ()
            folder = ResultsFolder(self.path / ("tables" if tables else "online"))
            self._worlds[tables] = World(
                self.registry, folder, self.path, self.device, teacher_top1_floor=0.0, teacher_uses=uses
            )
        return self._worlds[tables]

    @property
    def _sources(self) -> list[TeacherSource]:
        return list({source.identity: source for cell in self.cells for source in cell.teachers}.values())

    @cached_property
    def data(self) -> Data:
        return self.world().data.of(self.cells[0])

    @property
    def recipe(self) -> Recipe:
        return Recipe.model_validate(dict(self.cells[0].recipe))

    def taught(self, cells: Sequence[Cell]) -> int:
        """How many of the cells have a teacher run."""
        return sum(self.reads.of(cell)[0] for cell in cells)

    def served(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those that a table of the teacher's logits and embeddings serves."""
        return [cell for cell in cells if all(self.reads.of(cell))]

    def teacher(self) -> StagedModel | None:
        """The teacher of the cells, None where they have none."""
        taught = next((cell for cell in self.cells if cell.teachers), None)
        return None if taught is None else self.world().teachers.of(taught, self.data)[0].model

    def student(self) -> StagedModel:
        """A new one."""
        cell = self.cells[0]
        return self.world().networks.start(cell, cell.student, self.data, "student", 0, self.recipe)

    @property
    def pictures_each(self) -> int | None:
        """How many pictures the recipe's view has of an image; None where they are not finitely many."""
        finite = self.world().view(self.recipe.augmentation).finite
        info = ViewInfo(self.data.dataset.augmentation, self.data.input_shape[1:])
        return None if finite is None else finite.count(info)

    # -- the engine's way ---------------------------------------------------------------------------------------------

    def train(self, cells: Sequence[Cell], watch: Watch, tables: bool = False) -> None:
        """The cells as one group, anew, with all that a worker does. UserError for one that fails."""
        world = self.world(tables)
        for cell in cells:
            world.folder.set_aside(cell.key)
        settings = WorkerSettings(world.folder.path, self.path, (self.device.name,), checkpoint_seconds=1e9)
        group = CellGroup(0, tuple(cells))
        with default_generators_kept(self.device.default_generators()):
            PartsGroup(group, settings, world, lambda event: None, lambda cell: None, watch).run()
        for cell in cells:
            record = world.folder.read_record(cell.key)
            if record is None or record.status is not Status.OK:
                why = "it left no record" if record is None else record.error_message
                raise UserError(f"'{cell.method}' does not train on random images: {why}")
