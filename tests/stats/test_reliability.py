"""Bins of predictions by how sure they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kdharness_plugins.metrics.calibration import expected_calibration_error

from kdharness.stats.reliability import pooled, reliability


def test_bins_give_the_calibration_error() -> None:
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(500, 5)) * 3, generator.integers(5, size=500)
    bins = reliability(logits, targets)
    assert sum(one.count for one in bins) == 500
    ece = sum(one.count / 500 * abs(one.accuracy - one.confidence) for one in bins)
    assert ece == pytest.approx(expected_calibration_error(torch.from_numpy(logits), torch.from_numpy(targets)))


def test_halves_of_the_images_together_are_the_whole() -> None:
    generator = np.random.default_rng(1)
    logits, targets = generator.normal(size=(300, 4)), generator.integers(4, size=300)
    halves = pooled([reliability(logits[:100], targets[:100]), reliability(logits[100:], targets[100:])])
    for half, whole in zip(halves, reliability(logits, targets), strict=True):
        assert (half.number, half.count) == (whole.number, whole.count)
        assert half.accuracy == pytest.approx(whole.accuracy)
        assert half.confidence == pytest.approx(whole.confidence)


def test_large_logits_and_those_that_are_no_numbers() -> None:
    logits = np.array([[60000.0, 0.0], [np.nan, 0.0], [np.inf, 0.0]], dtype=np.float32)
    (only,) = reliability(logits, np.array([0, 0, 0]))
    assert (only.confidence, only.accuracy, only.count) == (1.0, 1.0, 1)
    assert reliability(np.zeros((0, 3)), np.zeros(0)) == ()
    assert pooled([]) == ()
