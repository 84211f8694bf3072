"""AFD: one step of its authors' module, and the attention over stages."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.afd import AFD, StageAttention, afd_loss
from torch import Tensor

from kdharness.api import Batch, BuildContext, ModelShape, Outputs, StepInfo

VECTOR = Path(__file__).parents[2] / "vectors" / "afd.npz"
# From the names of the authors' module to those of ours.
RENAMED = {
    "attention.p_t": "teacher_places",
    "attention.p_s": "student_places",
    "attention.linear_trans_s.key_layer": "keys",
    "attention.linear_trans_s.bilinear": "bilinear",
    "attention.linear_trans_t.query_layer": "queries",
    ".linear.": ".0.",
    ".bn.": ".1.",
}

torch.set_num_threads(1)


def renamed(name: str) -> str:
    for theirs, ours in RENAMED.items():
        name = name.replace(theirs, ours)
    return name


def test_it_equals_the_authors_module() -> None:
    """Loss and all gradients; the numbers were made by running that module in float64, with BN in train mode."""
    with np.load(VECTOR) as archive:
        known = {name: torch.from_numpy(archive[name]) for name in archive.files}
    student = [known[f"in.student.{k}"].requires_grad_() for k in range(3)]
    teacher = [known[f"in.teacher.{k}"] for k in range(2)]
    attention = StageAttention([f.shape[1] for f in student], [f.shape[1] for f in teacher], dimension=4).double()
    weights = {renamed(k.removeprefix("state.")): v for k, v in known.items() if k.startswith("state.")}
    attention.load_state_dict(weights, strict=False)
    loss = afd_loss(student, teacher, attention(student, teacher))
    loss.backward()
    torch.testing.assert_close(loss.detach(), known["out.loss"], rtol=1e-10, atol=0)
    for k, feature in enumerate(student):
        torch.testing.assert_close(feature.grad, known[f"out.grad.{k}"], rtol=1e-8, atol=1e-12)
    own = dict(attention.named_parameters())
    assert set(own) == set(weights)
    for name, gradient in known.items():
        if name.startswith("out.state."):
            found = own[renamed(name.removeprefix("out.state."))].grad
            torch.testing.assert_close(found, gradient, rtol=1e-8, atol=1e-12)


def maps(*shapes: tuple[int, ...], samples: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(samples, *shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("size", [(4, 4), (8, 4), (3, 3), (2, 2), (1, 5), (7, 7)])
def test_maps_are_compared_at_the_teachers_size(size: tuple[int, int]) -> None:
    (student,), (teacher,) = maps((3, 4, 4)), maps((5, *size), seed=1)
    pooled = torch.nn.functional.adaptive_avg_pool2d(student.square().mean(1), size)
    one, other = (torch.nn.functional.normalize(f.flatten(1), dim=1) for f in (pooled, teacher.square().mean(1)))
    loss = afd_loss([student], [teacher], torch.ones(3, 1, 1))
    torch.testing.assert_close(loss, (one - other).square().mean())


def test_it_is_zero_where_all_attention_is_on_an_equal_stage() -> None:
    features = maps((3, 4, 4), (5, 2, 2))
    assert afd_loss(features, features, torch.eye(2).expand(3, 2, 2)).item() == pytest.approx(0, abs=1e-12)
    assert afd_loss(features, features, torch.eye(2).flip(0).expand(3, 2, 2)) > 1e-3


def built(student: list[Tensor], teacher: list[Tensor], **parameters: Any) -> AFD:
    shapes = [
        ModelShape(n, tuple(tuple(f.shape[1:]) for f in fs), (), None) for n, fs in (("s", student), ("t", teacher))
    ]
    given = {"num_classes": 2, "student": shapes[0], "teachers": (shapes[1],)}
    method = AFD(**parameters)
    torch.manual_seed(0)
    method.build(BuildContext(**{f.name: given.get(f.name) for f in dataclasses.fields(BuildContext)}))
    return method


@pytest.mark.parametrize("samples", [2, 6])
def test_gradient_reaches_every_stage_and_part_and_no_teacher(samples: int) -> None:
    student = [f.requires_grad_() for f in maps((4, 8, 8), (6, 4, 4), (8, 2, 2), samples=samples)]
    teacher = [f.requires_grad_() for f in maps((5, 8, 8), (7, 4, 4), samples=samples, seed=1)]
    method = built(student, teacher, weight=2.0, dimension=16)
    info = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
    batch = Batch(student[0], torch.zeros(samples, dtype=torch.int64), info, views=(student[0],))
    nothing: Any = None
    logits = torch.randn(2, samples, 2, generator=torch.Generator().manual_seed(2))
    outputs = [Outputs(nothing, z, {"stages": fs}) for z, fs in zip(logits, (student, [*teacher]), strict=True)]
    weights = method.attention(student, teacher)
    assert weights.shape == (samples, 2, 3)
    torch.testing.assert_close(weights.sum(dim=2), torch.ones(samples, 2))
    loss = method.losses(batch, *outputs)["afd"]
    torch.testing.assert_close(loss, 2 * afd_loss(student, teacher, weights))
    loss.backward()
    for parameter in (*student, *method.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    constants = [f.detach().requires_grad_() for f in teacher]
    afd_loss(student, constants, weights.detach()).backward()
    assert all(f.grad is None for f in constants)  # a teacher's maps reach the loss through the queries alone
