"""Top-k accuracy in percent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from kdharness.api import Evaluation, MetricSpec, hookimpl


def topk_accuracy(logits: Tensor, targets: Tensor, k: int) -> float:
    """Percent of samples whose label is among the k largest logits. logits: [N, classes]; targets: [N].

    With fewer than k classes every class is among them, so that k is lowered to the number of classes.
    """
    best = logits.topk(min(k, logits.shape[1]), dim=1).indices
    hits = (best == targets[:, None]).any(dim=1)
    return 100.0 * hits.double().mean().item()


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
