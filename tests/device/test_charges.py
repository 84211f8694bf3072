"""Which cells pay for what a group does once, to the second, on a device whose clock moves as the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_device import FakeDevice
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from kdharness.api.executors import EpochFinished
from kdharness.api.prepared import Prepare
from kdharness.data.views import EpochView
from kdharness.engine.member import Member
from kdharness.protocol.benchmark import Benchmark, load
from kdharness.testing import Lab

# Seconds: of a step, of a teacher's forward pass, of views, of a transform, of preprocessing, of an evaluation.
STEP, TEACHER, VIEW, OTHER_VIEW, TRANSFORM, PREPARED, EVALUATION = 1, 100, 10, 7, 20, 3, 10_000
BATCHES = 2 * 2  # two epochs of 100 images, 50 at a time

PLUGIN = '''
from dataclasses import replace
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, View, hookimpl

class Asked(Method):
    """Its teacher alone sees another view."""
    name = "asked"
    reads = Reads(teachers="one", views=(View("recipe", teacher=False), View("none", student=False)))

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets), "kd": F.mse_loss(student.logits, teacher.logits)}

class Shifts(Method):
    """Its teacher sees the batch as it makes it; `bright` is another one's."""
    name = "shifts"
    bright: float = 0.1

    def transform(self, batch, generator):
        return replace(batch, images=batch.images + self.bright, views=(batch.images + self.bright,))

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets), "kd": F.mse_loss(student.logits, teacher.logits)}

class Spoils(Method):
    """Changes the batch in its first step, where it is known who it was; later ones would end the group."""
    name = "spoils"
    reads = Reads(teachers="none")
    steps = 0

    def losses(self, batch, student, teacher):
        self.steps += 1
        if self.steps == 1:
            batch.images.zero_()
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Asked), MethodSpec.of(Shifts), MethodSpec.of(Spoils)]
'''


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDevice]:
    """Every piece of work takes its time on it."""
    device = FakeDevice()

    def networks(module: nn.Module, args: tuple[Any, ...]) -> None:
        if type(module).__name__ == "SmallConv":
            taught = any(p.requires_grad for p in module.parameters())
            in_step = len(args[0]) == 50 and device.asked[-1] != "evaluation_batch"
            device.now += (STEP if taught else TEACHER) if in_step else EVALUATION

    def images(self: EpochView, *given: Any) -> Any:
        device.now += OTHER_VIEW if self.spec.name == "none" else VIEW
        return plain_images(self, *given)

    def made(self: Prepare, *given: Any) -> Any:
        device.now += PREPARED
        return plain_made(self, *given)

    def transformed(self: Member, *given: Any) -> Any:
        device.now += TRANSFORM
        return plain_transformed(self, *given)

    plain_images, plain_made, plain_transformed = EpochView.images, Prepare._made, Member.transformed
    monkeypatch.setattr(Member, "transformed", transformed)
    monkeypatch.setattr(EpochView, "images", images)
    monkeypatch.setattr(Prepare, "_made", made)
    handle = register_module_forward_pre_hook(networks)
    yield device
    handle.remove()


@pytest.fixture
def train(device: FakeDevice, make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    """Trains students of these methods as one group; their values by method. Their teacher is trained elsewhere."""
    (tmp_path / "asked.py").write_text(PLUGIN)

    def run(*methods: str, benchmark: str | Benchmark = "digits", **rest: Any) -> dict[str, dict[str, Any]]:
        lab = make_lab("-".join(methods), device=device, plugin_files=(tmp_path / "asked.py",), **rest)
        plan = lab.plan(benchmark, methods=methods, scenarios=("few100",))
        cells = [planned.cell for planned in plan.cells if not planned.skip]
        lab.train([cell for cell in cells if cell.role == "teacher"])
        records = lab.train([cell for cell in cells if cell.role == "student"])
        return {record.cell.method: dict(record.values) for record in records.values()}

    return run


def costs(values: dict[str, Any]) -> tuple[float, float, float]:
    return values["train_seconds"], values["shared_seconds"], values["alone_seconds"]


BATCH = VIEW + PREPARED


def test_a_teacher_is_paid_by_those_who_read_it(train: Callable[..., dict[str, dict[str, Any]]]) -> None:
    found = train("vanilla", "kd", "dkd")
    assert costs(found["vanilla"]) == pytest.approx((4, BATCHES * BATCH / 3, BATCHES * (STEP + BATCH)))
    for name in ("kd", "dkd"):
        share = BATCHES * (BATCH / 3 + TEACHER / 2)
        assert costs(found[name]) == pytest.approx((4, share, BATCHES * (STEP + BATCH + TEACHER)))


def test_vanilla_beside_kd_costs_what_it_costs_alone(train: Callable[..., dict[str, dict[str, Any]]]) -> None:
    beside, alone = train("vanilla", "kd"), train("vanilla")
    assert alone["vanilla"]["alone_seconds"] == beside["vanilla"]["alone_seconds"] == BATCHES * (STEP + BATCH)
    assert alone["vanilla"]["shared_seconds"] == BATCHES * BATCH
    assert alone["vanilla"]["images_per_second"] == beside["vanilla"]["images_per_second"]


def test_nobody_pays_for_who_comes_first(train: Callable[..., dict[str, dict[str, Any]]]) -> None:
    found = train("kd", "dkd")
    assert costs(found["kd"]) == costs(found["dkd"])


def test_a_view_is_paid_by_those_who_read_it_or_whose_teacher_does(
    train: Callable[..., dict[str, dict[str, Any]]],
) -> None:
    found = train("asked", "vanilla", "kd")
    theirs = STEP + BATCH + OTHER_VIEW + PREPARED + TEACHER
    assert found["asked"]["alone_seconds"] == BATCHES * theirs
    assert found["kd"]["alone_seconds"] == BATCHES * (STEP + BATCH + TEACHER)
    assert found["vanilla"]["alone_seconds"] == BATCHES * (STEP + BATCH)
    # Each has a teacher's run of its own: they are of different views.
    assert found["asked"]["shared_seconds"] == pytest.approx(BATCHES * (BATCH / 3 + OTHER_VIEW + PREPARED + TEACHER))


def test_a_transform_is_paid_by_those_whose_batch_it_makes(train: Callable[..., dict[str, dict[str, Any]]]) -> None:
    """They pay for the view that it begins with too, and for a teacher of their own."""
    found = train("shifts", "kd")
    assert found["kd"]["alone_seconds"] == BATCHES * (STEP + BATCH + TEACHER)
    assert found["shifts"]["alone_seconds"] == BATCHES * (STEP + VIEW + TRANSFORM + PREPARED + TEACHER)
    assert found["shifts"]["train_seconds"] == BATCHES * STEP


def test_a_batch_that_is_made_again_is_paid_by_those_who_step_on_it(
    train: Callable[..., dict[str, dict[str, Any]]],
) -> None:
    """The one that spoilt the batch comes between two others in a group: each pays for one batch."""
    found = train("kd", "spoils", "vanilla")
    assert found["vanilla"]["alone_seconds"] == BATCHES * (STEP + BATCH)
    assert found["kd"]["alone_seconds"] == BATCHES * (STEP + BATCH + TEACHER)


def test_evaluation_is_in_no_cost(train: Callable[..., dict[str, dict[str, Any]]], device: FakeDevice) -> None:
    rule = load("digits").evaluation.model_copy(update={"every": 1, "validation": 0.0})
    often = train("vanilla", benchmark=load("digits").model_copy(update={"evaluation": rule}))
    assert device.now > 2 * EVALUATION
    assert often["vanilla"]["alone_seconds"] == BATCHES * (STEP + BATCH)


def test_costs_go_on_where_a_stopped_cell_is_taken_up(
    train: Callable[..., dict[str, dict[str, Any]]], device: FakeDevice, make_lab: Callable[..., Lab]
) -> None:
    whole = train("kd")["kd"]
    lab = make_lab("stopped", device=device, checkpoint_seconds=0.0)
    plan = lab.plan(methods=("kd",), scenarios=("few100",))
    teacher, student = (planned.cell for planned in plan.cells)
    lab.train([teacher])

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise KeyboardInterrupt

    lab.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        lab.train([student])
    lab.on_event = lambda event: None
    resumed = lab.train([student])[student.key].values
    assert costs(dict(resumed)) == costs(whole)


def test_the_time_is_known_when_the_device_has_settled(
    train: Callable[..., dict[str, dict[str, Any]]], device: FakeDevice
) -> None:
    train("vanilla")
    assert device.asked.count("synchronize") >= 2, "once for each epoch"
