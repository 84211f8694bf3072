"""How often the student predicts what its teacher predicts, right or wrong.

Stanton, Izmailov, Kirichenko, Alemi, Wilson, "Does Knowledge Distillation Really Work?", NeurIPS 2021 (their fidelity).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from kdharness.api import Evaluation, MetricSpec, hookimpl


def agreement(logits: Tensor, teacher_logits: Tensor) -> float:
    """Percent of samples with the same largest logit. Both: [N, classes]."""
    return 100.0 * (logits.argmax(dim=1) == teacher_logits.argmax(dim=1)).double().mean().item()


def teacher_agreement(evaluation: Evaluation) -> Mapping[str, float]:
    teacher_logits = evaluation.test.teacher_logits
    if teacher_logits is None:
        raise ValueError("teacher_agreement needs the teacher's logits")
    return {"teacher_agreement": agreement(evaluation.test.logits, teacher_logits)}


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec(
        "teacher_agreement",
        teacher_agreement,
        summary="same prediction as the teacher",
        unit="%",
        needs_teacher=True,
        paper="Stanton, Izmailov, Kirichenko, Alemi, Wilson, Does Knowledge Distillation Really Work?, NeurIPS 2021",
    )
