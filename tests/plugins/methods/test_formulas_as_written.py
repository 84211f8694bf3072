"""Losses that are computed another way than their formula is written: in float64 both give the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods.afd import afd_loss
from kdharness_plugins.methods.kdsvd import _leading
from kdharness_plugins.methods.nst import nst_loss
from kdharness_plugins.methods.rkd import rkd_loss
from torch import Tensor

WIDE, SQUARE, DEEP = (6, 3, 5), (4, 4, 4), (12, 2, 2)


def maps(*shapes: tuple[int, ...], seed: int, samples: int = 3) -> list[Tensor]:
    """Like the output of a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(samples, *shape, generator=generator, dtype=torch.float64).relu() for shape in shapes]


def same(found: Callable[..., Tensor], written: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Value, and gradients of all inputs."""
    results = []
    for loss in (found, written):
        given = [one.clone().requires_grad_() for one in inputs]
        value = loss(*given)
        results.append((value, *torch.autograd.grad(value, given, allow_unused=True, materialize_grads=True)))
    assert results[1][1].abs().max() > 1e-6
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def nst_as_written(student: Tensor, teacher: Tensor) -> Tensor:
    """Every pair of channels by its product at each position."""
    s, t = (F.normalize(one.flatten(2), dim=2) for one in (student, teacher))

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a.unsqueeze(2) * b.unsqueeze(1)).sum(dim=3).square().mean()

    return mean_kernel(t, t) + mean_kernel(s, s) - 2 * mean_kernel(s, t)


@pytest.mark.parametrize("channels", [(6, 6), (6, 4), (20, 20), (20, 9), (15, 15)])
def test_nst_by_channels_and_by_positions(channels: tuple[int, int]) -> None:
    """Of 15 positions: fewer and more than channels."""
    (student,), (teacher,) = maps((channels[0], 3, 5), seed=1), maps((channels[1], 3, 5), seed=2)
    student[1, 2] = 0  # a dead channel
    same(lambda s: nst_loss([s], [teacher]), lambda s: nst_as_written(s, teacher), student)


def rkd_as_written(student: Tensor, teacher: Tensor) -> Tensor:
    """By differences; of a sample and itself the distance and the angles are 0."""

    def relations(e: Tensor) -> tuple[Tensor, Tensor]:
        difference = e.unsqueeze(0) - e.unsqueeze(1)
        same_place = difference.square().sum(dim=2) == 0
        length = torch.where(same_place, 1, difference.square().sum(dim=2)).sqrt()
        distance = torch.where(same_place, 0, length)
        direction = difference / length.unsqueeze(2)
        mean = distance.sum() / (len(e) * (len(e) - 1))
        return distance / mean, torch.einsum("abd,acd->abc", direction, direction)

    pairs = zip(relations(student), relations(teacher), strict=True)
    distance, angle = (F.smooth_l1_loss(one, other) for one, other in pairs)
    return 25 * distance + 50 * angle


@pytest.mark.parametrize("shift", [0.0, 50.0])
def test_rkd_by_inner_products(shift: float) -> None:
    """Far from the origin nothing is lost either."""
    (student,), (teacher,) = maps((9,), seed=1, samples=7), maps((5,), seed=2, samples=7)
    teacher = teacher + shift
    same(lambda s: rkd_loss(s + shift, teacher, 25, 50), lambda s: rkd_as_written(s, teacher), student)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rkd_of_samples_that_coincide(dtype: torch.dtype) -> None:
    """Whatever rounding makes of their distance: no angle is made of it."""
    generator = torch.Generator().manual_seed(1)
    student = torch.randn(33, 130, generator=generator, dtype=dtype).add(3)
    student[20] = student[4]
    student.requires_grad_()
    rkd_loss(student, torch.randn(33, 8, generator=generator, dtype=dtype), 0.0, 50.0).backward()
    gradient = student.grad
    assert gradient is not None
    assert gradient.abs().max() < 1e-2
    assert gradient.abs().max() > 0


def afd_as_written(students: Sequence[Tensor], teachers: Sequence[Tensor], attention: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for n in range(len(attention)):
        for a, teacher in enumerate(teachers):
            wanted = teacher[n].square().mean(dim=0)
            for b, student in enumerate(students):
                energy = F.adaptive_avg_pool2d(student[n].square().mean(dim=0, keepdim=True), wanted.shape)[0]
                gap = energy / energy.norm() - wanted / wanted.norm()
                total = total + attention[n, a, b] * gap.square().mean() / len(attention)
    return total


def test_afd_with_each_energy_once() -> None:
    students, teachers = maps(SQUARE, DEEP, seed=1), maps(DEEP, SQUARE, (5, 8, 8), seed=2)
    attention = torch.rand(3, 3, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def both(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda first, second, weights: loss([first, second], teachers, weights)

    same(both(afd_loss), both(afd_as_written), *students, attention)


def test_gradient_of_leading_eigenvectors() -> None:
    """Against torch's own, which serves as long as eigenvalues differ."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(3, 9, 5, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)

    def own(x: Tensor) -> Tensor:
        return (weights * _leading(x.mT @ x, 2).square()).sum()

    def torch_own(x: Tensor) -> Tensor:
        return (weights * torch.linalg.eigh(x.mT @ x)[1].flip(-1)[..., :2].square()).sum()

    same(own, torch_own, matrix)
