"""Top-k accuracy in percent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import Evaluation, MetricSpec, hookimpl


def topk_accuracy(logits: Tensor, targets: Tensor, k: int) -> float:
    """Percent of samples whose label is among the k largest logits. logits: [N, classes]; targets: [N].

    Of equal logits that of the class with the lower number counts as larger, as it does for argmax.
    """
    own, classes = logits.gather(1, targets[:, None]), torch.arange(logits.shape[1], device=logits.device)
    ahead = (logits > own) | ((logits == own) & (classes < targets[:, None]))
    return 100.0 * (ahead.sum(dim=1) < k).double().mean().item()


def top1(evaluation: Evaluation) -> Mapping[str, float]:
    return {"top1": topk_accuracy(evaluation.test.logits, evaluation.test.targets, 1)}


def top3(evaluation: Evaluation) -> Mapping[str, float]:
    return {"top3": topk_accuracy(evaluation.test.logits, evaluation.test.targets, 3)}


def top5(evaluation: Evaluation) -> Mapping[str, float]:
    return {"top5": topk_accuracy(evaluation.test.logits, evaluation.test.targets, 5)}


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec("top1", top1, summary="accuracy on the test split", unit="%")
    yield MetricSpec("top3", top3, summary="label among the three largest logits", unit="%")
    yield MetricSpec("top5", top5, summary="label among the five largest logits", unit="%")
