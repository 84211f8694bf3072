"""What is counted of logits without torch is what the metrics count with it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from kdharness_plugins.metrics.accuracy import topk_accuracy
from kdharness_plugins.metrics.calibration import expected_calibration_error, negative_log_likelihood

from kdharness.api.functional import log_mean_probability
from kdharness.results.checks import outputs
from kdharness.results.checks.outputs import agreement, ece, mean_probability, nll, percent, read_outputs, topk

LOGITS = np.random.default_rng(0).normal(0, 3, (500, 7)).astype(np.float16).astype(np.float32)
LOGITS[:50] = np.round(LOGITS[:50])  # some are equal
TARGETS = np.random.default_rng(1).integers(0, 7, 500)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_is_the_same_to_the_last_bit(k: int) -> None:
    assert topk(LOGITS, TARGETS, k) == topk_accuracy(torch.from_numpy(LOGITS), torch.from_numpy(TARGETS), k)


@pytest.mark.parametrize("at_once", [2**22, 21])
def test_sums_are_the_same_to_many_digits(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(outputs, "AT_ONCE", at_once)
    tensors = torch.from_numpy(LOGITS), torch.from_numpy(TARGETS)
    assert math.isclose(nll(LOGITS, TARGETS), negative_log_likelihood(*tensors), rel_tol=1e-13)
    assert math.isclose(ece(LOGITS, TARGETS), expected_calibration_error(*tensors), rel_tol=1e-12)


def test_by_hand() -> None:
    logits, targets = np.array([[0, math.log(3)], [0, 0]], dtype=np.float64), np.array([1, 1])
    assert topk(logits, targets, 1) == 50.0  # of equal ones the lower class is ahead
    assert math.isclose(nll(logits, targets), (math.log(4 / 3) + math.log(2)) / 2)
    assert math.isclose(ece(logits, targets), (0.25 + 0.5) / 2)
    assert agreement(logits, np.array([[0.0, 1], [0, 1]])) == 50.0
    assert percent(np.array([True, False, False])) == 100.0 * (1 / 3)


def test_the_mean_of_teachers_is_that_of_their_probabilities() -> None:
    members = [LOGITS, LOGITS[::-1].copy()]
    expected = log_mean_probability([torch.from_numpy(each) for each in members]).exp()
    assert np.allclose(mean_probability(members), expected.numpy(), atol=1e-6)


def test_a_file_is_read_by_the_names_of_its_outputs(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, logits=LOGITS.astype(np.float16), logits_exit1=LOGITS, targets=TARGETS)
    found = read_outputs(path)
    assert found is not None
    assert list(found.logits) == ["", "exit1"]
    assert np.array_equal(found.main, LOGITS)


@pytest.mark.parametrize(
    "arrays",
    [
        {"logits": LOGITS},
        {"targets": TARGETS},
        {"logits": LOGITS, "targets": TARGETS[:-1]},
        {"logits": LOGITS, "targets": TARGETS + 1},
        {"logits": LOGITS, "targets": TARGETS - 1},
        {"logits": np.full_like(LOGITS, np.inf), "targets": TARGETS},
        {"logits": LOGITS.astype(np.int64), "targets": TARGETS},
        {"logits": LOGITS[:0], "targets": TARGETS[:0]},
        {"logits": np.array([object()]), "targets": TARGETS},
    ],
)
def test_what_holds_no_logits_is_none(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, allow_pickle=True, **arrays)
    assert read_outputs(path) is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_outputs(tmp_path / "predictions.npz") is None
