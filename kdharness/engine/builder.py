"""A cell with all that it trains, as it starts."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from kdharness.api.method import BuildContext, Method
from kdharness.api.shapes import shape_of
from kdharness.api.staged import StagedModel
from kdharness.data.prepare import Data
from kdharness.device.secret import secret_generator
from kdharness.device.torch_settings import settings_kept
from kdharness.engine.cell_state import CellState
from kdharness.engine.losses import LossTerms
from kdharness.engine.optimizers import OptimizerFactory
from kdharness.engine.phase_clock import PhaseClock
from kdharness.engine.players import Players
from kdharness.engine.teachers import AnyTeacher, Teacher
from kdharness.engine.world import World
from kdharness.errors import CellError
from kdharness.measure.averages import Averages
from kdharness.measure.observers import Observers
from kdharness.planning.cell import STUDENT, TEACHER, Cell
from kdharness.protocol.recipe import Recipe
from kdharness.protocol.seeds import stream
from kdharness.protocol.subset_sizes import subset_names
from kdharness.protocol.variant import made
from kdharness.weights.fitting import fill
from kdharness.weights.reading import load_weights


def build(cell: Cell, world: World, data: Data, teachers: Sequence[Teacher], metrics: Sequence[str] = ()) -> CellState:
    """Makes the student, then the method under the cell's own generators, and all that the method makes."""
    recipe = Recipe.model_validate(dict(cell.recipe))
    random = world.device.random_state(stream("method", cell.method, "default", cell.seed))
    generators: list[torch.Generator] = []
    secrets: list[torch.Generator] = []
    # A teacher's own stream: in a pair of equal models the student does not start from its teacher's weights.
    role = TEACHER if cell.role == TEACHER else STUDENT
    student = world.networks.start(cell, cell.student, data, role, cell.seed, recipe)
    if cell.start is not None:
        path, _ = world.teachers.found(cell.start)
        fill(student, load_weights(path))
    with settings_kept(), random.active():
        method = made(world.registry.get("method", cell.method).spec, cell.parameters)
        seen = _seen(method, world, teachers)
        method.build(_context(cell, method, world, data, recipe, student, seen, generators, secrets))
        world.device.put(method)
        predictor = world.device.put(method.predictor(student, [t.model for t in seen]))
    factory = OptimizerFactory(world.registry, cell.document["optimizers"], world.device.fused, world.device.records)
    state = CellState(
        student=student,
        method=method,
        predictor=predictor,
        teachers=seen,
        random=random,
        generators=generators,
        secrets=secrets,
        players=Players(student, method, recipe, factory, world.device.torch),
        terms=LossTerms(
            method=cell.method,
            declared=method.terms,
            without=frozenset(cell.document["method"]["without"]),
            withheld=frozenset(method.withheld),
        ),
        observers=Observers(world.registry, metrics, student, world.device),
        clock=PhaseClock.of(method.phases(), recipe.epochs),
    )
    if recipe.ema_decay:
        state.averages = _averages(state, recipe)
    state.enter_phase()
    return state


def _averages(state: CellState, recipe: Recipe) -> Averages:
    """Of the student and of all else that is evaluated, but not of teachers."""
    networks = [teacher.model for teacher in state.teachers]
    others = {id(t) for network in networks for t in (*network.parameters(), *network.buffers())}
    return Averages((state.student, state.predictor), recipe.ema_decay, recipe.evaluate == "ema", others)


def _seen(method: Method, world: World, teachers: Sequence[Teacher]) -> Sequence[AnyTeacher]:
    """The teachers as the method reads them: several as one, or copies of its own."""
    seen: Sequence[AnyTeacher] = teachers
    if method.reads.teachers == "one" and len(teachers) > 1:
        seen = [world.teachers.ensemble(teachers)]
    return copy.deepcopy(list(seen)) if method.private_teacher else seen


def _context(
    cell: Cell,
    method: Method,
    world: World,
    data: Data,
    recipe: Recipe,
    student: StagedModel,
    teachers: Sequence[AnyTeacher],
    generators: list[torch.Generator],
    secrets: list[torch.Generator],
) -> BuildContext:
    """What the method is told."""
    known = (cell.student, *(t.model for t in cell.teachers), *cell.networks)

    def make_generator(name: str, on_device: bool) -> torch.Generator:
        seed = stream("method", cell.method, name, cell.seed)
        generator = world.device.generator(seed) if on_device else torch.Generator().manual_seed(seed)
        generators.append(generator)
        return generator

    def make_secret_generator(on_device: bool) -> torch.Generator:
        if not cell.secret:
            raise CellError("MethodError", "it asks for a secret generator, and does not say secret_noise = True")
        secrets.append(secret_generator(world.device, on_device))
        return secrets[-1]

    def new_model(name: str, role: str) -> StagedModel:
        if name not in known:
            what = f"it makes a network of '{name}', which its networks() does not name"
            raise CellError("MethodError", f"{what} (known: {', '.join(dict.fromkeys(known))})")
        return world.networks.start(cell, name, data, role, cell.seed, recipe)

    return BuildContext(
        num_classes=data.num_classes,
        input_shape=data.input_shape,
        student=shape_of(student, method.reads.modules),
        teachers=tuple(shape_of(t.model, method.reads.teacher_modules) for t in teachers),
        student_model=student,
        teacher_models=tuple(t.model for t in teachers),
        targets=data.targets[data.subsets[cell.document["subset"]]],
        subset_sizes={name: len(data.subsets[name]) for name in subset_names(cell.document["scenario"]["kind"])},
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        device=world.device.torch,
        make_generator=make_generator,
        new_model=new_model,
        make_secret_generator=make_secret_generator,
        class_sizes=data.class_sizes(cell.document["subset"]),
    )
