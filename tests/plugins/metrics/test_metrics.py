"""The built-in metrics against numbers computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from kdharness_plugins.metrics import kdharness_metrics
from kdharness_plugins.metrics.accuracy import topk_accuracy
from kdharness_plugins.metrics.calibration import expected_calibration_error, negative_log_likelihood
from torch import Tensor

from kdharness.api import Evaluation, Predictions

SPECS = {spec.name: spec for spec in kdharness_metrics() if spec.compute and spec.splits == ("test",)}


def evaluation(logits: Tensor, targets: Tensor, teacher_logits: Tensor | None = None) -> Evaluation:
    predictions = Predictions(logits, targets, torch.arange(len(targets)), teacher_logits)
    return Evaluation("student", {"test": predictions})


def log_probabilities(*rows: tuple[float, ...]) -> Tensor:
    """Logits whose softmax is these rows."""
    return torch.tensor(rows, dtype=torch.float64).log()


def test_names_and_directions() -> None:
    assert {name: spec.higher_is_better for name, spec in SPECS.items()} == {
        "top1": True,
        "top3": True,
        "top5": True,
        "nll": False,
        "ece": False,
        "teacher_agreement": True,
    }
    assert {name: spec.unit for name, spec in SPECS.items()} == {
        "top1": "%",
        "top3": "%",
        "top5": "%",
        "nll": "nats",
        "ece": "fraction",
        "teacher_agreement": "%",
    }
    assert [name for name, spec in SPECS.items() if spec.needs_teacher] == ["teacher_agreement"]


@pytest.mark.parametrize("name", SPECS)
def test_each_returns_its_own_name(name: str) -> None:
    logits = torch.randn(6, 3)
    values = SPECS[name].compute(evaluation(logits, torch.tensor([0, 1, 2, 0, 1, 2]), logits.flip(0)))
    assert list(values) == [name]
    assert type(values[name]) is float


def test_top1() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [5.0, 0.0, 0.0]])
    assert SPECS["top1"].compute(evaluation(logits, torch.tensor([0, 0, 1, 0]))) == {"top1": 75.0}


def test_top5() -> None:
    logits = torch.arange(7.0).repeat(2, 1)  # the five largest are classes 2 to 6
    assert SPECS["top5"].compute(evaluation(logits, torch.tensor([2, 1]))) == {"top5": 50.0}


@pytest.mark.parametrize(("name", "k"), [("top1", 1), ("top3", 3), ("top5", 5)])
def test_each_accuracy_counts_its_own_number_of_classes(name: str, k: int) -> None:
    """The label of sample i has rank i + 1: k of seven samples are hits."""
    logits = torch.arange(7.0, 0.0, -1.0).repeat(7, 1)
    assert SPECS[name].compute(evaluation(logits, torch.arange(7))) == {name: pytest.approx(100 * k / 7)}


def test_top5_of_fewer_classes_takes_all() -> None:
    assert topk_accuracy(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), 5) == 100.0


def test_nll() -> None:
    logits = log_probabilities((0.5, 0.25, 0.25), (0.1, 0.8, 0.1))
    found = negative_log_likelihood(logits, torch.tensor([1, 1]))
    assert found == pytest.approx(-(math.log(0.25) + math.log(0.8)) / 2, rel=1e-12)


def test_ece() -> None:
    # With two bins: (0, 0.5] holds the last sample (confidence 0.5, wrong), (0.5, 1] the others (0.9, 0.8, 0.7; two of
    # three right): |0 - 0.5| / 4 + |2 - 2.4| / 4.
    logits = log_probabilities((0.9, 0.1), (0.8, 0.2), (0.3, 0.7), (0.5, 0.5 - 1e-9))
    found = expected_calibration_error(logits, torch.tensor([0, 1, 1, 1]), bins=2)
    assert found == pytest.approx(0.5 / 4 + 0.4 / 4, abs=1e-8)


def test_ece_does_not_let_errors_cancel_across_bins() -> None:
    # 0.6 (right) is underconfident by 0.4 and 0.9 (wrong) overconfident by 0.9, in different bins of 15.
    logits = log_probabilities((0.6, 0.4), (0.9, 0.1))
    assert expected_calibration_error(logits, torch.tensor([0, 1])) == pytest.approx((0.4 + 0.9) / 2)


def test_ece_has_15_bins_of_equal_width() -> None:
    """Against the definition; labels are as likely as said, so that gaps of either sign cancel by other bins."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(500, 4, generator=generator, dtype=torch.float64)
    targets = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    confidence, predicted = logits.softmax(1).max(1)
    correct = (predicted == targets).double()

    def by_definition(bins: int) -> float:
        total = 0.0
        for m in range(1, bins + 1):
            inside = ((m - 1) / bins < confidence) & (confidence <= m / bins)
            if inside.any():
                gap = correct[inside].mean() - confidence[inside].mean()
                total += inside.double().mean().item() * abs(gap.item())
        return total

    found = SPECS["ece"].compute(evaluation(logits, targets))["ece"]
    assert found == pytest.approx(by_definition(15), rel=1e-9)
    assert all(abs(by_definition(bins) - found) > 1e-5 for bins in (*range(8, 15), *range(16, 25)))
    assert "15 bins" in SPECS["ece"].summary


def test_a_confidence_on_an_edge_is_in_the_bin_below() -> None:
    """With two bins one half belongs to the first: an error there does not cancel against the second."""
    logits = log_probabilities((0.5, 0.5), (0.75, 0.25))
    found = expected_calibration_error(logits, torch.tensor([0, 1]), bins=2)
    assert found == pytest.approx((0.5 + 0.75) / 2)


def test_ece_of_certain_and_right_is_zero() -> None:
    logits = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    assert expected_calibration_error(logits, torch.tensor([0, 1])) == 0.0


def test_nll_of_the_specification_is_that_of_the_labels() -> None:
    logits = log_probabilities((0.5, 0.25, 0.25), (0.1, 0.8, 0.1))
    expected = -(math.log(0.25) + math.log(0.8)) / 2
    assert SPECS["nll"].compute(evaluation(logits, torch.tensor([1, 1]))) == {"nll": pytest.approx(expected)}


def test_teacher_agreement_counts_shared_errors() -> None:
    student = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    teacher = torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 0.1]])
    found = SPECS["teacher_agreement"].compute(evaluation(student, torch.tensor([1, 1, 0, 0]), teacher))
    assert found == {"teacher_agreement": 75.0}


def test_teacher_agreement_without_a_teacher_is_an_error() -> None:
    with pytest.raises(ValueError, match="needs the teacher's logits"):
        SPECS["teacher_agreement"].compute(evaluation(torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64)))
