"""Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for Computer Vision", CVPR 2016,
arXiv 1512.00567, section 7.

    L = (1 - e) CE(y, z_s) + e mean over all C classes of -log p_c            p = softmax(z_s)

The label has 1 - e + e / C, every other class e / C. Some implementations share e among the C - 1 other classes; the
paper's form is followed. It is distillation from a teacher that holds all classes equally probable (Yuan, Tay, Li,
Wang, Feng, CVPR 2020), and so the control for methods whose soft targets may owe their gain to their softness alone.

It takes the place of the recipe's own smoothing, which is set to 0 for it, and it is cross-entropy, whatever loss the
recipe asks for. Of a mixed image both labels are smoothed. `vanilla` with its parameter `label_smoothing` trains alike
under a recipe with cross-entropy; here the two terms can be told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Outputs, Phase, Reads, hookimpl


def label_smoothing_loss(student_logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """(1 - e) CE(y, z) + e CE(uniform, z).

    Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch.
    """
    log_p = student_logits.log_softmax(dim=1)
    of_label = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
    return -((1 - smoothing) * of_label + smoothing * log_p.mean(dim=1)).mean()


class LabelSmoothing(Method[None]):
    """Learn from labels that leave a little to every class.

    smoothing: e, what all classes share.
    """

    name = "label_smoothing"
    paper = "Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016"
    reads = Reads(teachers="none")
    terms = {"ce": "task", "label_smoothing": "distill"}
    mixed_labels = "mix"
    regime = "no_teacher"
    smoothing: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1

    def phases(self) -> Sequence[Phase]:
        return [Phase(recipe={"label_smoothing": 0.0, "loss": "ce"})]

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        return {
            "ce": (1 - self.smoothing) * batch.task_loss(student.logits),
            "label_smoothing": self.smoothing * label_smoothing_loss(student.logits, batch.targets, smoothing=1.0),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(LabelSmoothing, revision=1)
