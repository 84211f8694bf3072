"""Distances of embeddings over variances that the student guesses (padl2)."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods.padl2 import PADL2, padl2_loss
from method_world import World
from torch import Tensor, nn

from kdharness.api import Batch, StepInfo

VECTOR = Path(__file__).parents[2] / "vectors" / "padl2.npz"

torch.set_num_threads(1)


def batch_of(images: Tensor, targets: Tensor, phase: str) -> Batch:
    return Batch(images, targets, StepInfo(phase, torch.tensor(0), 1, torch.tensor(0.0)), views=(images,))


class Net(nn.Module):
    """A perceptron of 3x3 images, with what the harness would tap."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.fc = nn.Linear(27, 8), nn.BatchNorm1d(8), nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Any:
        embedding = F.relu(self.norm(self.body(images.flatten(1))))
        return SimpleNamespace(embedding=embedding, logits=self.fc(embedding))


@pytest.fixture
def known() -> dict[str, Tensor]:
    """Made by running 20 steps with torch's MSELoss and 20 with torchdistill's PADL2Loss in float64."""
    with np.load(VECTOR) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def test_steps_are_those_of_torchdistill(known: dict[str, Tensor]) -> None:
    networks = {"student": Net().double(), "teacher": Net().double().eval()}
    method: Any = PADL2()
    method.build(SimpleNamespace(student=SimpleNamespace(embedding=8), teacher=SimpleNamespace(embedding=8)))
    networks["variances"] = method.double().variances
    for side, network in networks.items():
        network.load_state_dict({key: known[f"{side}.{key}"] for key in network.state_dict()})
    student, teacher = networks["student"], networks["teacher"]
    found = []
    for phase, rate, parts in (("l2", 0.05, [student]), ("pad", 0.002, [student, method.variances])):
        parameters = [parameter for part in parts for parameter in part.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=5e-4)
        for number in range(20):
            batch = batch_of(known["images"][number % 4], known["labels"][number % 4], phase)
            with torch.no_grad():
                taught = teacher(batch.images)
            terms = method.losses(batch, student(batch.images), taught)
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
            found.append([term.item() for term in terms.values()])
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), known["losses"], rtol=1e-10, atol=0)
    for side in ("student", "variances"):
        for key, value in networks[side].state_dict().items():
            torch.testing.assert_close(value, known[f"end.{side}.{key}"], rtol=1e-9, atol=1e-12)


def test_the_loss_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]])
    log_variance = torch.tensor([[math.log(2.0), math.log(0.5)]])
    # 4 / 2 + ln 2 and 1 / 0.5 - ln 2
    assert padl2_loss(student, teacher, log_variance).item() == pytest.approx(2.0, rel=1e-5)
    assert padl2_loss(student, teacher, log_variance, eps=2.0).item() == pytest.approx((4 / 4 + 1 / 2.5) / 2, rel=1e-6)


def test_variances_of_one_leave_the_plain_distance_and_of_the_square_are_best() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    plain = padl2_loss(student, teacher, torch.zeros(3, 4), eps=0.0)
    assert plain.item() == pytest.approx(F.mse_loss(student, teacher).item(), rel=1e-6)
    best = (student - teacher).square().log().requires_grad_()
    (gradient,) = torch.autograd.grad(padl2_loss(student, teacher, best, eps=0.0), best)
    assert gradient.abs().max().item() == pytest.approx(0, abs=1e-6)


def test_no_gradient_reaches_the_teacher() -> None:
    teacher = torch.ones(2, 3, requires_grad=True)
    student, log_variance = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    padl2_loss(student, teacher, log_variance).backward()
    assert teacher.grad is None
    # d/ds = 2 (s - t) / n, and d/dv = (1 - square) / n, which is zero here, but for eps
    assert student.grad is not None
    assert student.grad.unique().tolist() == pytest.approx([-2 / 6], rel=1e-5)
    assert log_variance.grad is not None
    assert log_variance.grad.abs().max().item() < 1e-5


@pytest.mark.parametrize(("teacher", "aligned"), [("conv8", True), ("conv4", False)])
@pytest.mark.parametrize("phase", ["l2", "pad"])
def test_parts_train_in_their_phases(teacher: str, aligned: bool, phase: str) -> None:
    world = World(teacher_name=teacher)
    method: Any = PADL2(ce_weight=0.5, weight=3.0)
    torch.manual_seed(2)
    method.build(world.context)
    images, targets = torch.rand(6, 3, 8, 8), torch.arange(6) % 5
    student, taught = (model.run(images, taps=("embedding",)) for model in (world.student, world.teacher))
    terms = method.losses(batch_of(images, targets, phase), student, taught)
    assert list(terms) == ["ce", "l2" if phase == "l2" else "padl2"]
    assert terms["ce"].item() == pytest.approx(0.5 * F.cross_entropy(student.logits, targets).item(), rel=1e-6)
    own, variances = method.aligned(student.embedding), method.variances(student.embedding)
    distance = F.mse_loss(own, taught.embedding) if phase == "l2" else padl2_loss(own, taught.embedding, variances)
    assert terms[list(terms)[1]].item() == pytest.approx(3 * distance.item(), rel=1e-5)
    sum(terms.values()).backward()
    assert any(p.grad is not None for p in method.aligned.parameters()) == aligned
    assert all((p.grad is not None) == (phase == "pad") for p in method.variances.parameters())
    assert all(p.grad is not None for p in world.student.parameters())
    assert all(p.grad is None for p in world.teacher.parameters())


def test_phases_are_the_whole_training_and_then_a_third_at_a_small_rate() -> None:
    first, second = PADL2().phases()
    assert (first.name, first.fraction, first.players[0].parts) == ("l2", 1.0, ("student", "method.aligned"))
    assert (second.name, second.fraction, dict(second.players[0].optimizer)) == ("pad", 0.3, {"lr": 0.002})
    assert second.players[0].parts == ("student", "method.aligned", "method.variances")
    assert second.recipe["schedule"] == "constant"
