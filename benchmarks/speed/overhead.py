"""What the engine costs per cell and step beside the step: random states, settings, watched tensors, hooks, clock.

    python benchmarks/speed/overhead.py [--pair resnet56:resnet20] [--methods kd,fitnet] [--rounds 5]

Everything around a step is timed with a step that does nothing, the hooks by themselves, and a bare step (student,
losses, backward, optimiser; the teacher's outputs are there already) for the ratio. Medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from kdharness.api import StepInfo
from kdharness.api.taps import Taps
from kdharness.data.batches import EpochBatches, Samples
from kdharness.device.door import open_device
from kdharness.engine.builder import build
from kdharness.engine.lockstep import Lockstep, SharedBatch
from kdharness.engine.member import Member
from kdharness.engine.teacher_batch import TeacherOutputs
from kdharness.engine.view_tables import ViewTables
from kdharness.engine.world import World
from kdharness.errors import UserError
from kdharness.protocol.benchmark import parse
from kdharness.speed import random_images
from kdharness.testing.case import SCENARIOS
from kdharness.testing.lab import Lab

PLUGIN = Path(random_images.__file__)
IMAGES = {"images": 512, "evaluated": 256}
RECIPE = {"epochs": 100, "batch_size": 64, "lr": 0.05}


class NoStep:
    """A step that asks for the teacher and does nothing."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def step(self, samples: Samples, teachers: TeacherOutputs, info: StepInfo) -> None:
        if self.member.reads.teachers == "one":
            _ = teachers[0]


def microseconds(action: Callable[[], object], times: int) -> float:
    """Of one of so many runs."""
    start = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - start) / times * 1e6


def member_of(
    pair: str,
    method: str,
    folder: Path,
    parameters: Mapping[str, object] = MappingProxyType({}),
    images: int = IMAGES["images"],
) -> Member:
    """The method's cell with networks as initialised. UserError with the plan's reason where it is not to run."""
    lab = Lab(folder, plugin_files=(PLUGIN,))
    content = {"name": "speed", "datasets": [random_images.NAME], "pairs": [pair], "seeds": [0], "recipe": RECIPE}
    content["dataset"] = {random_images.NAME: {**IMAGES, "images": images}}
    protocol = parse({**content, "scenario": SCENARIOS, "methods": {method: dict(parameters)}}, "speed")
    cells = lab.plan(protocol, methods=(method,), epochs=None).cells
    planned = next(each for each in cells if (each.cell.role, each.cell.method) == ("student", method))
    if planned.skip:
        raise UserError(planned.skip)
    cell = planned.cell
    device = open_device("cpu")
    device.use()
    world = World(lab.registry, lab.folder, folder, device)
    data = world.data.of(cell)
    teachers = world.teachers.untrained(cell, data)
    return Member(cell, 0, world, data, teachers, build(cell, world, data, teachers))


def overhead(member: Member, times: int) -> dict[str, float]:
    """Microseconds per step: around it, of its hooks, and of a bare one."""
    views = member.registry.views
    no_tables = ViewTables(Path(), member.registry)
    lockstep = Lockstep(member.device, lambda name: views[name].spec, _raise, lambda number: None, no_tables)
    batches = EpochBatches(member.request(), member.data, lambda name: views[name].spec, member.device, lockstep.ledger)
    shared = SharedBatch(batches.samples(0), [member], (*batches.axes, 0))
    info = member.info(member.clock.place(0, len(batches)), shared.numbers)
    outputs = TeacherOutputs(member.teachers, shared.seen_by(member, info), member.views, member.reads.of_teachers)
    _ = [outputs[number] for number in range(len(outputs))]
    real = member.stepper
    bare = microseconds(lambda: real.step(shared.samples, outputs, info), max(3, times // 100))
    member.stepper = NoStep(member)
    around = microseconds(lambda: (shared.changed, lockstep._step(member, shared, batches, 1, beside=False)), times)
    member.stepper = real

    def hooks() -> None:
        with Taps(member.student.spec, member.reads.of_student, member.student.part).hooked():
            pass

    return {"around": around, "hooks": microseconds(hooks, times), "bare": bare}


def _raise(member: Member, error: Exception) -> None:
    raise error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", default="resnet56:resnet20")
    parser.add_argument("--methods", default="vanilla,kd,fitnet")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=300)
    given = parser.parse_args()
    for method in given.methods.split(","):
        with tempfile.TemporaryDirectory() as folder:
            member = member_of(given.pair, method, Path(folder))
            found = [overhead(member, given.times) for _ in range(given.rounds)]
        around, hooks, bare = (statistics.median(f[name] for f in found) for name in ("around", "hooks", "bare"))
        print(
            f"{method:10s} {given.pair}: around a step {around:.0f} us, hooks {hooks:.0f} us, a bare step"
            f" {bare / 1000:.1f} ms: {(around + hooks) / bare:.2%} of it"
        )


if __name__ == "__main__":
    main()
