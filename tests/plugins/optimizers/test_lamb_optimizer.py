"""LAMB beside its algorithm written by hand in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kdharness_plugins.optimizers.lamb import Lamb
from numpy.typing import NDArray
from torch import nn

LR, EPS = 0.1, 1e-6

Array = NDArray[np.float64]


def by_hand(x: Array, gradients: list[Array], decay: float, betas: tuple[float, float]) -> Array:
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        r = (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + EPS) + decay * x
        norms = np.linalg.norm(x), np.linalg.norm(r)
        ratio = norms[0] / norms[1] if decay and min(norms) > 0 else 1.0
        x = x - LR * ratio * r
    return x


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.9)])
@pytest.mark.parametrize("decay", [0.02, 0.0])
def test_twenty_steps_are_those_of_the_algorithm(decay: float, betas: tuple[float, float]) -> None:
    draw = np.random.default_rng(0)
    start, gradients = draw.normal(size=(3, 4)), list(draw.normal(size=(20, 3, 4)))
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = Lamb([parameter], lr=LR, weight_decay=decay, betas=betas, eps=EPS)
    for gradient in gradients:
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    expected = torch.from_numpy(by_hand(start, gradients, decay, betas))
    torch.testing.assert_close(parameter.detach(), expected, rtol=1e-5, atol=1e-6)


def test_the_step_is_as_long_as_the_tensor() -> None:
    parameter = nn.Parameter(torch.full((5,), 3.0))
    optimizer = Lamb([parameter], lr=LR, weight_decay=1e-9, betas=(0.9, 0.999), eps=EPS)
    before = parameter.detach().clone()
    parameter.grad = torch.tensor([1.0, -200.0, 0.03, 4.0, -5.0])
    optimizer.step()
    assert float((parameter.detach() - before).norm() / before.norm()) == pytest.approx(LR, rel=1e-4)


def test_weights_of_zero_begin_to_move() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.ones(3)
    Lamb([parameter], lr=LR, weight_decay=0.02, betas=(0.9, 0.999), eps=EPS).step()
    torch.testing.assert_close(parameter.detach(), torch.full((3,), -LR), rtol=1e-4, atol=0)
