"""Controls: soft targets of a teacher that knows nothing of the image, labels alone for longer, a wider network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kdharness_plugins.methods.kd import KD, kd_loss
from kdharness_plugins.models import kdharness_models
from torch import Tensor

from kdharness.api import Batch, MethodSpec, Outputs, StagedModel, StepInfo
from kdharness.measure.costs import count_macs
from kdharness.planning.cell import Cell
from kdharness.testing import Lab, MethodCase, parametrize_with_checks

META = torch.device("meta")


def cell_of(lab: Lab, method: str, *settings: str) -> Cell:
    plan = lab.plan(methods=(method,), scenarios=("few100",), settings=settings)
    return next(p.cell for p in plan.cells if p.cell.role == "student" and p.cell.method == method)


def outputs_of(logits: Tensor) -> Outputs:
    nothing: Any = None
    return Outputs(nothing, logits, {})


def test_shuffled_answers_are_those_to_another_image_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, 1, 8, 8, generator=generator)
    student, teacher = torch.randn(2, 5, 4, generator=generator)
    info = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
    batch = Batch(images, torch.arange(5) % 4, info, views=(images,))
    found = KD(answers="shuffled").losses(batch, outputs_of(student), outputs_of(teacher))
    others = teacher[[4, 0, 1, 2, 3]]
    torch.testing.assert_close(found["kd"], 0.9 * kd_loss(student, others, 4.0))
    plain = KD().losses(batch, outputs_of(student), outputs_of(teacher))
    torch.testing.assert_close(plain["kd"], 0.9 * kd_loss(student, teacher, 4.0))
    assert torch.equal(plain["ce"], found["ce"])


@pytest.mark.parametrize("method", ["ban", "dot", "takd"])
def test_methods_that_rest_on_kd_have_its_controls(lab: Lab, method: str) -> None:
    plan = lab.plan(methods=(method,), scenarios=("few100",), settings=(f"{method}.answers=untrained",))
    cells = [p.cell for p in plan.cells if not p.skip]
    for cell in cells:
        assert lab.train([cell])[cell.key].status == "ok"
    assert cells[-1].method == method


@parametrize_with_checks([MethodCase(MethodSpec.of(KD), {"answers": "untrained"})])
def test_an_untrained_teacher_passes_the_checks(check: Any) -> None:
    check()


def test_an_untrained_teacher_stays_as_it_was_made(lab: Lab) -> None:
    cell = cell_of(lab, "kd", "kd.answers=untrained")
    lab.train([p.cell for p in lab.plan(methods=("kd",), scenarios=("few100",)).cells if p.cell.role == "teacher"])
    record = lab.train([cell])[cell.key]
    assert record.status == "ok"
    other = cell_of(lab, "kd")
    assert cell.key != other.key
    assert cell_of(lab, "kd", "kd.answers=own").key == other.key


def test_labels_for_longer_are_a_run_of_so_many_epochs(lab: Lab) -> None:
    """Twice two epochs are four: the same weights as under a recipe of four."""
    twice = cell_of(lab, "vanilla", "vanilla.length=2")
    plan = lab.plan(methods=("vanilla",), scenarios=("few100",), epochs=4)
    four = next(p.cell for p in plan.cells if p.cell.role == "student")
    records = lab.train([twice, four])
    assert {record.status for record in records.values()} == {"ok"}
    one, other = (lab.bits(cell.key)["model.safetensors"] for cell in (twice, four))
    assert one == other
    assert cell_of(lab, "vanilla", "vanilla.length=1").key == cell_of(lab, "vanilla").key


@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 10), ((3, 32, 32), 100)])
def test_the_wider_resnet_costs_twice_the_narrow_one(shape: tuple[int, int, int], classes: int) -> None:
    specs = {spec.name: spec for spec in kdharness_models()}
    with META:
        narrow, wide = (
            count_macs(StagedModel(specs[n].factory(classes, shape), specs[n], shape), shape, META)
            for n in ("resnet14", "resnet14x1_4")
        )
    assert wide / narrow == pytest.approx(1.95, abs=0.05)
