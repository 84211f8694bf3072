"""How well the predicted probabilities fit: negative log-likelihood and expected calibration error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Evaluation, MetricSpec, hookimpl

BINS = 15


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> float:
    """Mean of -log p(label), in nats. logits: [N, classes]; targets: [N]."""
    return F.cross_entropy(logits.double(), targets).item()


def expected_calibration_error(logits: Tensor, targets: Tensor, bins: int = BINS) -> float:
    """Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, equation 3.

    ECE = sum_m |B_m| / N * |accuracy(B_m) - confidence(B_m)|, where bin B_m holds the samples whose largest
    probability is in ((m - 1) / M, m / M]. A fraction in [0, 1]. logits: [N, classes]; targets: [N].
    """
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    inner_edges = torch.arange(1, bins, dtype=torch.float64, device=logits.device) / bins
    bin_of = torch.bucketize(confidence, inner_edges)
    gap = confidence - (predicted == targets).double()
    return torch.bincount(bin_of, weights=gap, minlength=bins).abs().sum().item() / len(targets)


def nll(evaluation: Evaluation) -> Mapping[str, float]:
    return {"nll": negative_log_likelihood(evaluation.test.logits, evaluation.test.targets)}


def ece(evaluation: Evaluation) -> Mapping[str, float]:
    return {"ece": expected_calibration_error(evaluation.test.logits, evaluation.test.targets)}


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec("nll", nll, summary="negative log-likelihood", higher_is_better=False, unit="nats")
    yield MetricSpec(
        "ece",
        ece,
        summary=f"expected calibration error, {BINS} bins of equal width",
        higher_is_better=False,
        unit="fraction",
        paper="Guo, Pleiss, Sun, Weinberger, On Calibration of Modern Neural Networks, ICML 2017",
    )
