"""What metrics see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Predictions:
    """Outputs for every sample of one split, on the CPU.

    logits: float32 [N, classes]; targets: int64 [N]; indices: int64 [N], positions in the dataset's split;
    teacher_logits: float32 [N, classes] for metrics that declare needs_teacher (of several teachers, the logarithm of
        their mean probability), else None;
    hidden: what the scenario hides from training, by name, e.g. "clean_targets" int64 [N], "corrupted" bool [N].
    """

    logits: Tensor
    targets: Tensor
    indices: Tensor
    teacher_logits: Tensor | None = None
    hidden: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """One named predictor's outputs on the splits that the metric asked for."""

    predictor: str
    splits: Mapping[str, Predictions]

    @property
    def test(self) -> Predictions:
        return self.splits["test"]
