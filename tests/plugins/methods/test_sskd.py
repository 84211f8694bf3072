"""Rotated images and their contrast (sskd)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods.sskd import (
    SSKD,
    origins,
    rotated,
    sskd_head_loss,
    sskd_loss,
    sskd_similarities,
    turned,
    upright,
)
from method_world import World
from torch import Tensor, nn

from kdharness.api import Batch, Method, Mixing, Phase, StepInfo

VECTOR = Path(__file__).parents[2] / "vectors" / "sskd.npz"
WEIGHTS = {"ce": 0.1, "kd": 0.9, "transformed": 2.7, "similarity": 10.0}

torch.set_num_threads(1)


def batch_of(images: Tensor, targets: Tensor, phase: str = "train", soft: Tensor | None = None) -> Batch:
    step = StepInfo(phase, torch.tensor(0), 1, torch.tensor(0.0))
    return Batch(images, targets, step, views=(images,), soft_targets=soft)


# -- the authors' code -------------------------------------------------------------------------------------------------


class Net(nn.Module):
    """A perceptron of 3x3 images, with what the harness would tap."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body, self.norm, self.fc = nn.Linear(27, width), nn.BatchNorm1d(width), nn.Linear(width, 5)

    def forward(self, images: Tensor) -> Any:
        embedding = F.relu(self.norm(self.body(images.flatten(1))))
        return SimpleNamespace(embedding=embedding, logits=self.fc(embedding))


@pytest.fixture
def known() -> dict[str, Tensor]:
    """Made by running the steps of the authors' student.py and wrapper.py in float64, 20 of the head and 20 of the
    student, on images that NumPy rotated; ranks are sorted by a stable sort there, as here.
    """
    with np.load(VECTOR) as archive:
        return {name: torch.from_numpy(archive[name]) for name in archive.files}


def below(known: dict[str, Tensor], stem: str) -> dict[str, Tensor]:
    return {name.removeprefix(stem): value for name, value in known.items() if name.startswith(stem)}


def networks_of(known: dict[str, Tensor], keep: tuple[float, float]) -> tuple[Any, Net, Net]:
    student, teacher = Net(6).double(), Net(8).double().eval()
    method: Any = SSKD(transformed_keep=keep[0], similarity_keep=keep[1])
    method.build(SimpleNamespace(student=SimpleNamespace(embedding=6), teacher=SimpleNamespace(embedding=8)))
    method.double()
    for side, network in (("student", student), ("teacher", teacher)):
        network.load_state_dict(below(known, f"{side}.backbone."))
        getattr(method, f"{side}_head").load_state_dict(below(known, f"{side}.proj_head."))
    return method, student, teacher


def steps_of(known: dict[str, Tensor], method: Any, student: Net, teacher: Net, phase: str) -> list[list[float]]:
    """Twenty steps of a phase; each step's terms without their weights."""
    parts = [method.teacher_head] if phase == "head" else [student, method.student_head]
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4)
    found = []
    for number in range(20):
        batch = batch_of(known["images"][number % 4], known["labels"][number % 4], phase)
        batch = method.transform(batch, torch.Generator())
        with torch.no_grad():
            taught = teacher(batch.images)
        terms = method.losses(batch, student(batch.images), taught)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        found.append([term.item() / WEIGHTS.get(name, 1) for name, term in terms.items()])
    return found


def test_steps_of_the_teachers_head_are_those_of_the_authors(known: dict[str, Tensor]) -> None:
    method, student, teacher = networks_of(known, (1.0, 0.75))
    found = torch.tensor(steps_of(known, method, student.eval(), teacher, "head")).squeeze(1)
    torch.testing.assert_close(found, known["contrast"].float(), rtol=1e-6, atol=0)
    for name, value in method.teacher_head.state_dict().items():
        torch.testing.assert_close(value, known[f"head.{name}"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "keep"), [("default", (1.0, 0.75)), ("some", (0.5, 0.3))])
def test_steps_of_the_student_are_those_of_the_authors(
    name: str, keep: tuple[float, float], known: dict[str, Tensor]
) -> None:
    method, student, teacher = networks_of(known, keep)
    method.teacher_head.load_state_dict(below(known, "head."))
    found = torch.tensor(steps_of(known, method, student, teacher, "train"), dtype=torch.float64)
    torch.testing.assert_close(found, known[f"{name}.losses"], rtol=1e-9, atol=1e-13)
    parts = {"backbone": student, "proj_head": method.student_head}
    ends = {f"{part}.{key}": value for part, module in parts.items() for key, value in module.state_dict().items()}
    for key, value in ends.items():
        torch.testing.assert_close(value, known[f"{name}.end.{key}"], rtol=1e-9, atol=1e-12)


# -- rotations ---------------------------------------------------------------------------------------------------------


def test_an_image_is_followed_by_its_rotations() -> None:
    image = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = rotated(torch.stack([image, image + 10])[:, None])
    assert found[:4, 0].tolist() == [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    assert torch.equal(found[4:], found[:4] + 10)
    rows = torch.arange(8)
    assert upright(rows).tolist() == [0, 4]
    assert turned(rows).tolist() == [1, 2, 3, 5, 6, 7]


def test_a_batch_is_rotated_with_its_labels() -> None:
    images, soft = torch.rand(2, 3, 4, 4), torch.tensor([[0.7, 0.3], [0.0, 1.0]])
    given = batch_of(images, torch.tensor([0, 1]), soft=soft)
    mixing = Mixing("cutmix", torch.tensor(0.7), torch.tensor([1, 0]), torch.zeros(4))
    found = SSKD().transform(dataclasses.replace(given, mixing=mixing), torch.Generator())
    assert torch.equal(found.images, rotated(images))
    assert found.targets.tolist() == [0] * 4 + [1] * 4
    assert found.soft_targets is not None
    assert torch.equal(found.soft_targets, torch.cat([soft[:1]] * 4 + [soft[1:]] * 4))
    assert found.mixing is None
    assert SSKD().transform(given.__class__(images, given.targets, given.step, (images,)), None).soft_targets is None


def test_images_that_change_their_shape_are_refused() -> None:
    reason = SSKD().skip(World(shape=(3, 8, 12)).context)
    assert reason == "images of 8x12 pixels have another shape when they are turned"
    assert SSKD().skip(World().context) is None


# -- the contrast ------------------------------------------------------------------------------------------------------


def test_similarities_are_cosines_of_rotations_and_upright_images() -> None:
    rows = torch.randn(8, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = sskd_similarities(rows)
    assert found.shape == (6, 2)
    assert found[4, 0].item() == pytest.approx(F.cosine_similarity(rows[6], rows[0], dim=0).item(), rel=1e-12)
    assert origins(found).tolist() == [0, 0, 0, 1, 1, 1]


def test_heads_that_tell_nothing_and_heads_that_tell_all() -> None:
    same = torch.ones(8, 3)
    assert sskd_head_loss(sskd_similarities(same)).item() == pytest.approx(np.log(2), rel=1e-6)
    apart = torch.eye(2).repeat_interleave(4, dim=0)
    assert sskd_head_loss(sskd_similarities(apart)).item() == pytest.approx(np.log(1 + np.exp(-1)), rel=1e-6)


# -- rows that are kept ------------------------------------------------------------------------------------------------

TEACHER = torch.tensor([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]])
ANSWERS = torch.tensor([3, 0, 2, 1])  # ranks 3, 0, 2, 1


@pytest.mark.parametrize(
    ("keep", "rows"),
    [(0.0, [1]), (0.3, [1]), (0.34, [1, 3]), (0.67, [1, 2, 3]), (0.99, [1, 2, 3]), (1.0, [0, 1, 2, 3])],
)
def test_the_least_wrong_rows_are_kept(keep: float, rows: list[int]) -> None:
    student = torch.randn(4, 4, generator=torch.Generator().manual_seed(2)).requires_grad_()
    loss = sskd_loss(student, TEACHER, ANSWERS, 2.0, keep)
    log_s, p_t = (student / 2).log_softmax(1), (TEACHER / 2).softmax(1)
    each = 4 * (p_t * (p_t.log() - log_s)).sum(1)
    assert loss.item() == pytest.approx(each[rows].mean().item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == rows


def test_of_equal_ranks_the_first_are_kept() -> None:
    teacher, answers = torch.tensor([[1.0, 0.0]]).repeat(5, 1), torch.tensor([1, 1, 0, 1, 1])
    student = torch.zeros(5, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(sskd_loss(student, teacher, answers, 1.0, 0.5), student)
    assert gradient.abs().sum(1).nonzero().flatten().tolist() == [0, 1, 2]


def test_a_share_of_a_count_is_rounded_as_python_does() -> None:
    """In float32 the share 0.7 of 10 rows is 6.9999999, or 7."""
    teacher, answers = torch.tensor([[1.0, 0.0]]).repeat(100, 1), torch.ones(100, dtype=torch.int64)
    for keep in (0.07, 0.29, 0.57, 0.58, 0.7):
        student = torch.zeros(100, 2, requires_grad=True)
        (gradient,) = torch.autograd.grad(sskd_loss(student, teacher, answers, 1.0, keep), student)
        assert int((gradient.abs().sum(1) > 0).sum()) == int(100 * keep)


def test_nothing_kept_is_a_loss_of_zero_that_can_be_trained_on() -> None:
    student = torch.ones(2, 3, requires_grad=True)
    teacher, answers = torch.tensor([[0.0, 1.0, 2.0]] * 2), torch.tensor([0, 1])
    loss = sskd_loss(student, teacher, answers, 4.0, 0.0)
    assert loss.item() == 0
    assert torch.autograd.grad(loss, student)[0].abs().sum() == 0


def test_equal_scores_have_no_distance() -> None:
    assert sskd_loss(TEACHER + 5, TEACHER, ANSWERS, 4.0, 1.0).item() == pytest.approx(0, abs=1e-6)


# -- the method --------------------------------------------------------------------------------------------------------


def built(**parameters: Any) -> tuple[Any, World]:
    world, method = World(), SSKD(**parameters)
    torch.manual_seed(3)
    method.build(world.context)
    return method, world


def losses_of(method: Method, world: World, images: Tensor, targets: Tensor, phase: str = "train") -> dict[str, Tensor]:
    batch = method.transform(batch_of(images, targets, phase), torch.Generator())
    outputs = [model.run(batch.images, taps=("embedding",)) for model in (world.student, world.teacher)]
    return dict(method.losses(batch, *outputs))


def images(samples: int = 4) -> tuple[Tensor, Tensor]:
    return torch.rand(samples, 3, 8, 8, generator=torch.Generator().manual_seed(4)), torch.arange(samples) % 5


def gradients(loss: Tensor, module: nn.Module) -> float:
    found = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
    return sum(float(g.abs().sum()) for g in found if g is not None)


def test_labels_are_told_of_upright_images_alone() -> None:
    method, world = built()
    pixels, targets = images()
    batch = method.transform(batch_of(pixels, targets), torch.Generator())
    student, teacher = (model.run(batch.images, taps=("embedding",)) for model in (world.student, world.teacher))
    terms = method.losses(batch, student, teacher)
    assert terms["ce"].item() == pytest.approx(0.1 * F.cross_entropy(student.logits[::4], targets).item(), rel=1e-6)
    log_s, p_t = (student.logits[::4].double() / 4).log_softmax(1), (teacher.logits[::4].double() / 4).softmax(1)
    kd = 16 * F.kl_div(log_s, p_t, reduction="batchmean")
    assert terms["kd"].item() == pytest.approx(0.9 * kd.item(), rel=1e-3)


def test_each_head_trains_in_its_own_phase() -> None:
    method, world = built()
    contrast = losses_of(method, world, *images(), phase="head")["contrast"]
    assert gradients(contrast, method.teacher_head) > 0
    assert gradients(contrast, method.student_head) == gradients(contrast, world.student) == 0
    terms = losses_of(method, world, *images())
    assert gradients(terms["similarity"], method.student_head) > 0
    assert gradients(torch.stack(list(terms.values())).sum(), method.teacher_head) == 0
    for name in ("ce", "kd", "transformed", "similarity"):
        assert gradients(terms[name], world.student) > 0, name


def test_the_order_of_a_batch_does_not_matter() -> None:
    method, world = built(transformed_keep=0.0, similarity_keep=0.0)
    pixels, targets = images()
    order = torch.tensor([2, 0, 3, 1])
    one, other = losses_of(method, world, pixels, targets), losses_of(method, world, pixels[order], targets[order])
    for name, term in one.items():
        assert other[name].item() == pytest.approx(term.item(), rel=1e-4, abs=1e-7), name


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_small_batches(samples: int) -> None:
    method, world = built()
    for phase in ("head", "train"):
        terms = losses_of(method, world, *images(samples), phase=phase)
        assert all(term.isfinite() for term in terms.values())


def test_phases_are_a_quarter_of_the_training_for_the_head_and_then_all_of_it() -> None:
    method, _ = built()
    head, train = method.phases()
    assert isinstance(head, Phase)
    assert (head.fraction, train.fraction) == (0.25, 1.0)
    assert [player.parts for player in head.players] == [("method.teacher_head",)]
    assert dict(head.players[0].optimizer) == {"lr": 0.05}
    assert (head.recipe["milestones"], head.recipe["gamma"]) == ((0.5, 0.75), 0.1)
    assert [player.parts for player in train.players] == [("student", "method.student_head")]


@pytest.mark.parametrize(("keep", "declared"), [(1.0, "mix"), (0.5, "larger")])
def test_labels_are_read_where_rows_are_left_out(keep: float, declared: str) -> None:
    method, world = built(transformed_keep=keep)
    assert method.mixed_labels == declared
    pixels, targets = images()
    one, other = (losses_of(method, world, pixels, t)["transformed"].item() for t in (targets, (targets + 1) % 5))
    assert (one == other) == (declared == "mix")
