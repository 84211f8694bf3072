"""The usual loop trains what the engine trains."""

from __future__ import annotations

import csv

import pytest

from kdharness.data.batches import EpochBatches
from kdharness.device.ledger import Ledger
from kdharness.engine.builder import build
from kdharness.engine.member import Member
from kdharness.errors import UserError
from kdharness.speed.bed import Bed
from kdharness.speed.parts import Watch
from kdharness.speed.plain_loop import Pictures, reason_against
from kdharness.speed.request import BenchRequest
from kdharness.speed.rounds import plain_loop
from kdharness.speed.stopwatch import PARTS, Stopwatch

METHODS = ("kd", "dkd", "fitnet", "at", "sp", "pkt", "vid", "rkd")


class Unaugmented(Bed):
    """A bed whose images are shown as they are."""

    @property
    def _benchmark(self):
        benchmark = super()._benchmark
        return benchmark.model_copy(update={"recipe": benchmark.recipe.replaced({"augmentation": "none"})})


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    return Unaugmented(BenchRequest("conv8:conv4", METHODS, images=48, batch_size=16), tmp_path_factory.mktemp("bed"))


def engine_loss(bed, cell):
    """The mean of the summed terms over the first epoch."""
    bed.train([cell], Watch(Stopwatch(bed.device).clock))
    with bed.world().folder.cell(cell.key).history.open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train" and row["epoch"] == "1"]
    terms = bed.registry.get("method", cell.method).spec.factory().terms
    return sum(float(row["value"]) for row in rows if row["metric"] in {"ce", *terms})


def engine_order(bed, cell):
    data, world = bed.data, bed.world()
    teachers = world.teachers.of(cell, data)
    member = Member(cell, 0, world, data, teachers, build(cell, world, data, teachers))
    ledger = Ledger(bed.device.clock())
    return EpochBatches(member.request(), data, world.view, bed.device, ledger).order.tolist()


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_the_engine_s(bed, method):
    cell = next(cell for cell in bed.cells if cell.method == method)
    train, test = (Pictures(bed.data.dataset, split, None) for split in ("train", "test"))
    watch = Watch(Stopwatch(bed.device).clock)
    loop = plain_loop(bed, cell, train, test, watch, workers=0)
    assert loop.epoch(engine_order(bed, cell)) == pytest.approx(engine_loss(bed, cell), rel=1e-5)


def test_every_part_is_charged(bed):
    stopwatch = Stopwatch(bed.device)
    with stopwatch.lap():
        bed.train(bed.cells[:2], Watch(stopwatch.clock))
    (lap,) = stopwatch.laps
    assert sorted(lap.parts) == sorted(PARTS)
    assert all(lap.parts[part] > 0 for part in PARTS)
    assert sum(lap.parts.values()) == pytest.approx(lap.cpu, rel=0.05)


def test_what_the_loop_cannot_train_has_a_reason(bed):
    methods = bed.registry.methods
    reasons = {name: reason_against(methods[name].spec.factory()) for name in (*METHODS, "vanilla", "sskd")}
    assert reasons["sskd"]
    assert not any(reasons[name] for name in (*METHODS, "vanilla"))


def test_a_pair_has_one_teacher():
    with pytest.raises(UserError, match="speed is measured with one teacher"):
        BenchRequest("a+b:c", ("kd",))
