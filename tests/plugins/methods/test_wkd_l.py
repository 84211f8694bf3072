"""WKD-L: where the cost of classes comes from, and what transport by it is."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.wkd_l import WKDL, first_of_each_class, wkd_cost, wkd_l_loss
from torch import Tensor

from kdharness.api import Batch, EpochContext, StepInfo, log_mean_probability

torch.set_num_threads(1)
CLASSES = 4
# Twelve images: four of class 0, two of class 2, three of the others.
TARGETS = torch.tensor([2, 0, 1, 0, 3, 2, 0, 1, 0, 3, 1, 3])
# Three of each; those of class 2 come again.
FIRST = [[1, 3, 6], [2, 7, 10], [0, 5, 0], [4, 9, 11]]


def draw(*shape: int, seed: int = 1) -> Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


ANSWERS = draw(2, 12, CLASSES)


def epoch(number: int = 0) -> EpochContext:
    nothing: Any = None

    def answer(k: int = 0, positions: Tensor | None = None) -> Tensor:
        return ANSWERS[k] if positions is None else ANSWERS[k][positions]

    return EpochContext("train", number, 40, nothing, TARGETS, nothing, answer)


def built(teachers: int = 1, targets: Tensor = TARGETS, **parameters: Any) -> WKDL:
    context: Any = SimpleNamespace(num_classes=CLASSES, teachers=("big",) * teachers, targets=targets)
    method = WKDL(**parameters)
    method.build(context)
    return method


def cka(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    x, y = one - one.mean(0), other - other.mean(0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


@pytest.mark.parametrize("teachers", [1, 2])
def test_the_cost_is_of_the_first_images_of_each_class_in_their_order(teachers: int) -> None:
    method = built(teachers)
    method.before_epoch(epoch())
    answers = (ANSWERS[0] if teachers == 1 else log_mean_probability(list(ANSWERS))).numpy()
    expected = [[1 - math.exp(-(1 - cka(answers[a], answers[b]))) for b in FIRST] for a in FIRST]
    np.testing.assert_allclose(method.get_buffer("cost").numpy(), expected, atol=1e-6)


def test_the_order_of_images_matters() -> None:
    features = draw(3, 6, 5)
    turned = torch.cat([features[:1].flip(1), features[1:]])
    cost, other = wkd_cost(features, 1.0), wkd_cost(turned, 1.0)
    assert (cost - other).abs()[0, 1:].min() > 1e-3
    torch.testing.assert_close(cost[1:, 1:], other[1:, 1:])
    torch.testing.assert_close(cost.diagonal(), torch.zeros(3, dtype=torch.float64))


def test_it_is_made_once_and_kept_with_the_state() -> None:
    method = built()
    method.before_epoch(epoch())
    kept = method.get_buffer("cost").clone()
    assert kept.max() > 0.1
    resumed = built()
    resumed.load_state_dict(method.state_dict())
    resumed.before_epoch(epoch(1))
    assert torch.equal(resumed.get_buffer("cost"), kept)


def test_images_of_each_class_in_their_order() -> None:
    first, counts = first_of_each_class(TARGETS, CLASSES, 500)
    assert first.tolist() == FIRST
    assert counts.tolist() == [4, 3, 2, 3]
    assert first_of_each_class(TARGETS, CLASSES, 2)[0].tolist() == [row[:2] for row in FIRST]
    balanced = torch.tensor([1, 0, 0, 1, 1, 0])
    assert first_of_each_class(balanced, 2, 500)[0].tolist() == [[1, 2, 5], [0, 3, 4]]


def test_a_class_without_images_is_equally_far_from_all() -> None:
    method = built(targets=TARGETS.clamp(max=2))
    method.before_epoch(epoch())
    cost = method.get_buffer("cost")
    torch.testing.assert_close(cost[3], torch.full((CLASSES,), 1 - math.exp(-1)))
    assert cost[:3, :3].diagonal().abs().max() < 1e-6
    assert cost[0, 1] < 0.63


@pytest.mark.parametrize("features", [torch.zeros(3, 4, 2), torch.zeros(3, 0, 2), torch.ones(3, 1, 2)])
def test_classes_of_which_nothing_is_known_are_equally_far(features: Tensor) -> None:
    torch.testing.assert_close(wkd_cost(features, 1.0), torch.full((3, 3), 1 - math.exp(-1)))


def transported(student: Tensor, teacher: Tensor, cost: Tensor) -> float:
    """W alone: what gamma multiplies."""
    label = torch.zeros(len(student), dtype=torch.int64)
    found = [wkd_l_loss(student, teacher, label, cost, 1.0, gamma, 0.05, 50).item() for gamma in (1.0, 0.0)]
    return found[0] - found[1]


def test_probability_that_is_moved_to_a_near_class_costs_less() -> None:
    """Beside the label, class 0: the teacher holds class 1, students hold 2 or 3; 2 is near it, 3 far."""
    cost = torch.tensor(
        [[0.0, 0.5, 0.5, 0.5], [0.5, 0.0, 0.1, 0.6], [0.5, 0.1, 0.0, 0.6], [0.5, 0.6, 0.6, 0.0]], dtype=torch.float64
    )

    def holding(place: int) -> Tensor:
        return torch.zeros(1, 4, dtype=torch.float64).index_fill(1, torch.tensor([place]), 12.0)

    found = [transported(holding(k), holding(1), cost) for k in (1, 2, 3)]
    assert found == pytest.approx([0.0, 0.1, 0.6], abs=2e-3)


def test_the_label_is_in_neither_distribution() -> None:
    student, teacher, cost = draw(5, 6), draw(5, 6, seed=2), draw(6, 6, seed=3).abs()
    label = torch.tensor([0, 1, 2, 3, 4])
    moved = student.scatter_add(1, label.unsqueeze(1), torch.full((5, 1), 3.0, dtype=torch.float64))
    own = [wkd_l_loss(s, teacher, label, cost, 2.0, 0.0, 0.05, 10) for s in (student, moved)]
    both = [wkd_l_loss(s, teacher, label, cost, 2.0, 1.0, 0.05, 10) for s in (student, moved)]
    torch.testing.assert_close(both[0] - own[0], both[1] - own[1])
    assert (both[0] - own[0]).item() > 1e-3


def test_gamma_decays_by_epochs() -> None:
    method = built(decay_start=0.25)
    method.before_epoch(epoch())
    student, teacher, label = draw(12, CLASSES, seed=2).float(), ANSWERS[0].float(), TARGETS
    cost = method.get_buffer("cost")

    def at(number: int, progress: float) -> float:
        step = StepInfo("train", torch.tensor(number - 1), 4, torch.tensor(progress))
        batch = Batch(draw(12, 1), label, step, views=())
        outputs: list[Any] = [SimpleNamespace(logits=logits) for logits in (student, teacher)]
        return method.losses(batch, *outputs)["wkd_l"].item()

    def expected(gamma: float) -> float:
        return wkd_l_loss(student, teacher, label, cost, 8.0, gamma, 0.05, 10).item()

    assert at(2, 0.25) == at(2, 0.49) == pytest.approx(expected(600 * 0.75))
    assert at(1, 0.1) == pytest.approx(expected(600))
    assert at(4, 0.9) == pytest.approx(expected(0))
