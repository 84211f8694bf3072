"""What becomes of wrong labels: of the training samples whose label is wrong, the share that is predicted right, and
the share that is predicted as the wrong label says.

Arpit et al., "A Closer Look at Memorization in Deep Networks", ICML 2017, on memorisation; the teacher's share of right
predictions is how well a method that replaces labels by the teacher's outputs refines them (Shen et al., arXiv
1908.08520). Predictions are for images without augmentation. Only scenarios with label noise have these metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from kdharness.api import Evaluation, MetricSpec, Predictions, hookimpl


def share_of_corrupted(logits: Tensor, labels: Tensor, corrupted: Tensor) -> float:
    """Percent of the corrupted samples whose largest logit is the label's. [N, classes], int64 [N], bool [N]."""
    return 100.0 * (logits.argmax(1) == labels)[corrupted].double().mean().item()


def _metric(name: str, teacher: bool, clean: bool) -> Callable[[Evaluation], Mapping[str, float]]:
    def compute(evaluation: Evaluation) -> Mapping[str, float]:
        train: Predictions = evaluation.splits["train"]
        logits = train.teacher_logits if teacher else train.logits
        corrupted = train.hidden["corrupted"]
        if logits is None or not bool(corrupted.any()):
            return {}
        labels = train.hidden["clean_targets"] if clean else train.targets
        return {name: share_of_corrupted(logits, labels, corrupted)}

    return compute


# Name: of the teacher, against the true label, what it says.
METRICS = {
    "noise_recovery": (False, True, "wrongly labelled training samples predicted right"),
    "noise_memorisation": (False, False, "wrongly labelled training samples predicted as labelled"),
    "teacher_noise_recovery": (True, True, "wrongly labelled training samples that the teacher predicts right"),
    "teacher_noise_memorisation": (
        True,
        False,
        "wrongly labelled training samples that the teacher predicts as labelled",
    ),
}


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    for name, (teacher, clean, summary) in METRICS.items():
        yield MetricSpec(
            name,
            _metric(name, teacher, clean),
            summary=summary,
            higher_is_better=clean,
            unit="%",
            splits=("train",),
            needs_teacher=teacher,
            hidden=("clean_targets", "corrupted"),
        )
