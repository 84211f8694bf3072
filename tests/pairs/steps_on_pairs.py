"""One step of each phase of every method on a pair, by the engine, and what every step must do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pair_world import built_in, planned_on_pairs, wanted_of_teachers, world_on
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from kdharness.api.declarations import Wanted
from kdharness.device.device import Device
from kdharness.engine.lockstep import SharedBatch
from kdharness.engine.teachers import put_right
from kdharness.planning.cell import Cell
from kdharness.registry.manager import Registry
from kdharness.testing.bench import Bench

# Methods that train no more of the student than its stages: the teacher's head is deployed.
HEAD_RESTS = ("simkd",)
# Parts that are trained in the steps that draw them.
DRAWN = {"fcfd": "method.to_student."}
# What students have between their last stage and their classifier.
BEFORE_CLASSIFIER = {
    "wrn_16_2": ("bn",),
    "wrn_40_1": ("bn",),
    "wrn_40_2": ("bn",),
    "mobilenet_v2": ("conv", "bn"),
    "shuffle_v2": ("conv", "bn"),
}


@dataclass(frozen=True)
class Subject:
    """What a bench asks of a case."""

    registry: Registry
    cell: Cell


def check_steps(
    pair: str, device: Device, methods: Sequence[str] = (), registry: Registry | None = None
) -> tuple[str, ...]:
    """The names of the methods that took their steps, by default all that the plan does not skip.

    ExceptionGroup of what went wrong, each with the method's name as a note.
    """
    registry = built_in() if registry is None else registry
    planned = planned_on_pairs(registry, tuple(methods) or ("all",))[pair]
    cells = [planned[name].cell for name in (methods or planned) if not planned[name].skip]
    world, wanted = world_on(device, registry), wanted_of_teachers(cells, registry)
    samples, errors = None, []
    for cell in cells:
        try:
            bench = Bench(Subject(registry, cell), device, world=world)
            # The same batch for all, so that a teacher runs once.
            samples = bench.samples = bench.samples if samples is None else samples
            _check(bench, wanted)
        except Exception as error:  # noqa: BLE001 - the other methods are looked at too
            error.add_note(f"method '{cell.method}' on {pair}")
            errors.append(error)
    if errors:
        raise ExceptionGroup(f"on {pair}", errors)
    return tuple(cell.method for cell in cells)


def _check(bench: Bench, wanted: Wanted) -> None:
    """Terms are scalars, finite ones where there are numbers; a gradient reaches all that is trained."""
    trained: dict[str, nn.Parameter] = {}
    with _gradients_noted() as reached:
        for phase in bench.phases():
            _step(bench, wanted)
            trained.update(_trained(bench))
            for name, term in bench.returned.items():
                assert term.shape == (), f"{name} in {phase.name}"
                assert term.is_meta or term.isfinite(), f"{name} in {phase.name}"
    idle = {id(p) for part in _resting(bench) for p in part.parameters()}
    drawn = DRAWN.get(bench.method.name, "no part")
    required = {name: p for name, p in trained.items() if not name.startswith(drawn)}
    unreached = [name for name, p in required.items() if (id(p) not in reached) != (id(p) in idle)]
    assert not unreached, f"no gradient reaches, or one reaches what should rest: {unreached}"


def _resting(bench: Bench) -> list[nn.Module]:
    """What no step of the method trains, by design."""
    if bench.method.name not in HEAD_RESTS:
        return []
    student = bench.member.student
    before = BEFORE_CLASSIFIER.get(bench.member.cell.student, ())
    return [student.classifier, *(student.network.get_submodule(path) for path in before)]


def _trained(bench: Bench) -> dict[str, nn.Parameter]:
    """What the present phase trains, by name."""
    parts = {"student": bench.member.student, "method": bench.method}
    named = ((f"{root}.{name}", p) for root, part in parts.items() for name, p in part.named_parameters())
    return {name: parameter for name, parameter in named if parameter.requires_grad}


@contextmanager
def _gradients_noted() -> Iterator[set[int]]:
    """Gives the ids of the parameters that an optimiser found a gradient at; those with numbers must be finite."""
    reached: set[int] = set()

    def note(optimizer: Optimizer, *rest: object) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                gradient: Tensor | None = parameter.grad
                if gradient is not None:
                    assert gradient.is_meta or gradient.isfinite().all(), "a gradient that is not finite"
                    reached.add(id(parameter))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield reached
    finally:
        handle.remove()


def _step(bench: Bench, wanted: Wanted) -> None:
    """As a group makes it: what methods read of a shared teacher is made at once, and is as it was afterwards."""
    member = bench.member
    shared = SharedBatch(bench.samples, [member], ("bench",))
    info = member.info(member.clock.place(1, 2), shared.numbers)
    seen = shared.seen_by(member, info)
    seen.wanted = {**seen.wanted, **{id(teacher): wanted for teacher in member.shared_teachers}}
    member.step(seen.samples, seen, info, measure=False)
    assert not shared.changed, f"it changes {shared.changed}, which others have too"
    assert not put_right(member.shared_teachers, thorough=False), "it changes its teacher"
