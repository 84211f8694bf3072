"""A method's own transform of batches: what student and teachers see, who shares it, who is left alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kdharness.api.executors import EpochFinished, Event
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.results.record import Status
from kdharness.testing import Lab

PLUGIN = '''
import json, time
from dataclasses import replace
import torch
import torch.nn.functional as F
from kdharness.api import *

class Turned(Method):
    """Distils on all four rotations of each image, brightened by what it draws; the labels are softened."""
    name = "turned"
    terms = {"ce": "task", "kd": "distill"}
    strength: float = 0.1
    where: str = ""
    elsewhere: bool = False
    seconds: float = 0.0

    def transform(self, batch, generator):
        if self.where:
            with open(self.where, "a") as file:
                file.write(json.dumps(["transform", int(batch.step.epoch)]) + "\\n")
        time.sleep(self.seconds)
        drawn = torch.rand(len(batch.images), generator=generator)
        if self.elsewhere:
            drawn = torch.rand(len(batch.images))
        brighter = batch.images + self.strength * drawn.to(batch.images).view(-1, 1, 1, 1)
        turned = torch.cat([brighter.rot90(k, (2, 3)) for k in range(4)])
        targets = batch.targets.repeat(4)
        soft = 0.9 * (targets[:, None] == torch.arange(10, device=targets.device)) + 0.01
        return replace(batch, images=turned, targets=targets, soft_targets=soft)

    def losses(self, batch, student, teacher):
        assert len(batch.images) == len(student.logits) == len(teacher.logits)
        assert torch.equal(teacher.logits, teacher.model.run(batch.images).logits)
        assert batch.views[0] is batch.images
        return {
            "ce": batch.task_loss(student.logits),
            "kd": F.mse_loss(student.logits, teacher.logits),
        }

    def curves(self):
        return {}

class Faulty(Turned):
    """Does what `kind` says."""
    name = "faulty"
    kind: str = ""

    def transform(self, batch, generator):
        if self.kind == "in place":
            batch.images.mul_(2)
        if self.kind == "images alone":
            return batch.images
        if self.kind == "rows":
            return replace(batch, images=batch.images[:3])
        if self.kind == "views":
            return replace(batch, views=())
        if self.kind == "bytes":
            return replace(batch, images=batch.images * 255)
        if self.kind == "raise":
            raise ValueError("no transform today")
        return batch

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(m) for m in (Turned, Faulty)]
'''


@pytest.fixture
def lab_with(tmp_path: Path) -> Callable[..., Lab]:
    file = tmp_path / "turned.py"
    file.write_text(PLUGIN)
    return lambda name, **rest: Lab(tmp_path / name, plugin_files=(file,), metrics=(), **rest)


def plan_of(lab: Lab, *settings: str, methods: tuple[str, ...] = ("turned", "kd", "vanilla"), **rest: object) -> Plan:
    return lab.plan(methods=methods, settings=settings, scenarios=("few100",), **rest)


def student(plan: Plan, method: str) -> Cell:
    return next(p.cell for p in plan.cells if p.cell.role == "student" and p.cell.method == method)


def test_neighbours_keep_their_bits_and_so_does_the_cell_alone(lab_with: Callable[..., Lab]) -> None:
    group, alone = lab_with("group"), lab_with("alone")
    plan = plan_of(group)
    records = group.train_plan(plan)
    assert {r.error_message for r in records.values() if r.status is not Status.OK} == set()
    for method in ("turned", "kd", "vanilla"):
        cell = student(plan, method)
        alone.take(group, [cell])
        alone.train([cell], alone=True)
        assert alone.bits(cell.key) == group.bits(cell.key), method


@pytest.mark.parametrize("elsewhere", ["true", "false"])
def test_resumed_it_draws_the_same(lab_with: Callable[..., Lab], elsewhere: str) -> None:
    """Also from the default generators, which are its own while it runs."""
    through, stopped = lab_with("through"), lab_with("stopped", checkpoint_seconds=0.0)
    plan = plan_of(through, f"turned.elsewhere={elsewhere}", epochs=3)
    through.train_plan(plan)
    cell = student(plan, "turned")
    stopped.take(through, [cell])

    def stop(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise KeyboardInterrupt

    stopped.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        stopped.train([cell])
    stopped.on_event = lambda event: None
    stopped.train([cell])
    assert stopped.bits(cell.key) == through.bits(cell.key)


def test_equal_cells_share_it_and_others_make_their_own(lab_with: Callable[..., Lab], tmp_path: Path) -> None:
    """Of one method and parameters: with a term less, and with another student. Of other parameters: not."""
    lab, where = lab_with("lab"), f"turned.where={tmp_path / 'calls'}"
    pairs = ("conv32:conv16", "conv32:conv8")
    lab.train_plan(plan_of(lab, methods=("kd",), pairs=pairs))
    plans = [
        plan_of(lab, where, methods=("turned",), pairs=pairs),
        plan_of(lab, where, "turned.without=ce", methods=("turned",), pairs=pairs),
        plan_of(lab, where, "turned.strength=0.2", methods=("turned",), pairs=pairs),
    ]
    cells = [p.cell for plan in plans for p in plan.cells if p.cell.role == "student" and p.cell.method == "turned"]
    assert len(cells) == 6
    records = lab.train(cells)
    assert {r.error_message for r in records.values() if r.status is not Status.OK} == set()
    calls = Counter(tuple(json.loads(line)) for line in (tmp_path / "calls").read_text().splitlines())
    batches = 2
    assert calls == {("transform", 0): 2 * batches, ("transform", 1): 2 * batches}


def test_those_who_share_it_pay_for_it(lab_with: Callable[..., Lab]) -> None:
    """Each half of it, and all of it alone; nothing of it is in own steps, nor paid by a neighbour."""
    lab, slow, pairs = lab_with("lab"), "turned.seconds=0.25", ("conv32:conv16", "conv32:conv8")
    lab.train_plan(plan_of(lab, methods=("kd",), pairs=pairs))
    plan = plan_of(lab, slow, methods=("turned", "kd"), pairs=pairs, epochs=2)
    records = lab.train([p.cell for p in plan.cells if p.cell.role == "student" and p.cell.method != "vanilla"])
    slept = 0.25 * 4  # two epochs of two batches
    for record in records.values():
        values = record.values
        if record.cell.method == "turned":
            assert slept / 2 <= values["shared_seconds"] < slept
            assert values["alone_seconds"] >= slept
        else:
            assert max(values["shared_seconds"], values["alone_seconds"]) < slept / 2
        assert values["train_seconds"] < slept / 2


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        ("in place", "SharedStateChanged", "changed a shared tensor in place"),
        ("images alone", "MethodError", "transform() must return a Batch, got Tensor"),
        ("rows", "MethodError", "transform() gives 50 targets and 3 rows of views[0]"),
        ("views", "MethodError", "transform() must keep the 1 views, got 0"),
        ("bytes", "MethodError", "transform(): images must be pixels in [0, 1], got values from 0 to 255"),
        ("raise", "ValueError", "no transform today"),
    ],
)
def test_a_faulty_transform_fails_its_own_cell(lab_with: Callable[..., Lab], kind: str, error: str, says: str) -> None:
    lab = lab_with("lab")
    plan = plan_of(lab, f"faulty.kind={kind}", methods=("faulty", "kd"), epochs=1)
    records = lab.train_plan(plan)
    failed = records[student(plan, "faulty").key]
    assert (failed.status, failed.error_type) == (Status.FAILED, error)
    assert says in failed.error_message
    assert records[student(plan, "kd").key].status is Status.OK
