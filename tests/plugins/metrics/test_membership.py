"""Membership inference: thresholds, intervals, and what is compared with what."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from kdharness_plugins.metrics.membership import (
    best_threshold,
    difference,
    kdharness_metrics,
    membership_advantage,
    wilson,
)
from torch import Tensor

from kdharness.api import Evaluation, Predictions

SPECS = {spec.name: spec for spec in kdharness_metrics()}


def losses(*values: float) -> np.ndarray:
    return np.array(values)


def test_best_threshold_by_hand() -> None:
    assert best_threshold(losses(0.1, 0.2, 0.9), losses(0.5, 0.8, 1.0)) == pytest.approx(0.35)
    assert best_threshold(losses(1.0, 2.0), losses(0.5, 0.6)) == -math.inf
    assert best_threshold(losses(1.0, 1.0), losses(1.0, 1.0)) == -math.inf


def test_certainty_and_chance() -> None:
    members, others = np.linspace(0, 1, 200), np.linspace(2, 3, 300)
    advantage, low, high = membership_advantage(members, others)
    assert (advantage, high) == (1.0, 1.0)
    assert 0.97 < low < 1
    generator = np.random.default_rng(0)
    advantage, low, high = membership_advantage(generator.normal(size=2000), generator.normal(size=3000))
    assert low < 0 < high
    assert abs(advantage) < 0.04


def test_no_image_chooses_its_own_threshold() -> None:
    """With every loss different and as many members as others in any order, a threshold fitted to the same images
    would always find some advantage; on average over draws the attack here finds none.
    """
    generator = np.random.default_rng(1)
    found = [membership_advantage(generator.random(20), generator.random(20))[0] for _ in range(400)]
    assert abs(np.mean(found)) < 0.02
    fitted = []
    for _ in range(100):
        members, others = generator.random(20), generator.random(20)
        threshold = best_threshold(members, others)
        fitted.append((members <= threshold).mean() - (others <= threshold).mean())
    assert np.mean(fitted) > 0.1


def test_newcombe_interval_against_the_published_example() -> None:
    # Newcombe 1998, table II, method 10: 56/70 - 48/80.
    gap, low, high = difference(56, 70, 48, 80)
    assert (gap, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_wilson_interval() -> None:
    assert wilson(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-4)
    assert wilson(10, 10) == pytest.approx((0.72247, 1.0), abs=1e-4)


def test_interval_covers() -> None:
    """Members uniform on [0, 1], others on [0, 2]: the best threshold is 1, with advantage one half."""
    generator = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        _, low, high = membership_advantage(generator.random(150), 2 * generator.random(200))
        inside += low <= 0.5 <= high
    assert inside >= 170


def predictions(confidence: float, samples: int, teacher: float | None = None) -> Predictions:
    def logits(value: float) -> Tensor:
        spread = torch.linspace(0, 0.1, samples)
        return torch.stack([value + spread, torch.zeros(samples)], dim=1)

    targets = torch.zeros(samples, dtype=torch.int64)
    return Predictions(logits(confidence), targets, torch.arange(samples), None if teacher is None else logits(teacher))


def test_student_and_teacher_are_attacked_apart() -> None:
    splits = {"private": predictions(1.0, 40, teacher=5.0), "test": predictions(1.0, 60, teacher=1.0)}
    evaluation = Evaluation("student", splits)
    student, teacher = (SPECS[name].compute(evaluation) for name in ("mia_advantage", "teacher_mia_advantage"))
    assert list(student) == ["mia_advantage", "mia_advantage_low", "mia_advantage_high"]
    assert list(teacher) == ["teacher_mia_advantage", "teacher_mia_advantage_low", "teacher_mia_advantage_high"]
    assert teacher["teacher_mia_advantage"] == 1.0
    assert abs(student["mia_advantage"]) < 0.2
    with pytest.raises(ValueError, match="needs the teacher's logits"):
        SPECS["teacher_mia_advantage"].compute(Evaluation("s", {k: predictions(1.0, 9) for k in splits}))


def test_only_where_a_scenario_has_private_data() -> None:
    assert all(spec.splits == ("private", "test") for spec in SPECS.values())
    assert [spec.needs_teacher for spec in SPECS.values()] == [False, True]
    assert not any(spec.higher_is_better for spec in SPECS.values())
