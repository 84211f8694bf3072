"""Touvron, Cord, Douze, Massa, Sablayrolles, Jegou, "Training data-efficient image transformers & distillation through
attention", ICML 2021, arXiv 2012.12877: a distillation token.

    kind = "hard"    L = (1 - a) CE(y, z_class) + a CE(argmax z_t, z_distillation)
    kind = "soft"    L = (1 - a) CE(y, z_class) + a T^2 KL(softmax(z_t / T) || softmax(z_distillation / T))

The student has two heads, on its class token and on a second one. One learns from the labels, the other from the
teacher alone; what is evaluated is the mean of their logits, in the authors' code as here. With hard labels a = 1/2,
and the teacher's say changes with the view of the image. Of a mixed image the teacher names one class.

The authors' code divides the soft divergence by the number of classes too, timm's does not: here it is the sum over
classes, averaged over the batch. Its defaults are a = 0.5 and T = 1. Only a network that has both heads can be
taught: the `deit_...` models.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, Outputs, Positive, hookimpl

from .kd import kd_loss

Kind = Literal["hard", "soft"]
HEADS = ("class", "distillation")


def deit_token_loss(student_logits: Tensor, teacher_logits: Tensor, kind: Kind, temperature: float) -> Tensor:
    """What the distillation head learns. Logits [N, classes]; a scalar, the mean over the batch.

    The temperature is that of kind "soft".
    """
    if kind == "hard":
        return F.cross_entropy(student_logits, teacher_logits.argmax(dim=1))
    return kd_loss(student_logits, teacher_logits, temperature)


class DeiT(Method):
    """Teach a head of its own, on a token of its own.

    alpha: a, the teacher's share.
    """

    name = "deit"
    paper = "Touvron et al., Training data-efficient image transformers & distillation through attention, ICML 2021"
    terms = {"ce": "task", "deit": "distill"}
    mixed_labels = "mix"
    ablations = {"soft": {"kind": "soft"}}
    kind: Kind = "hard"
    alpha: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.5
    temperature: Positive = 1.0

    def skip(self, context: BuildContext) -> str | None:
        lacking = [head for head in HEADS if head not in context.student.named]
        if not lacking:
            return None
        return f"needs a student with a distillation token: '{context.student.name}' has no output '{lacking[0]}'"

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        token = deit_token_loss(student.named["distillation"], teacher.logits, self.kind, self.temperature)
        return {"ce": (1 - self.alpha) * batch.task_loss(student.named["class"]), "deit": self.alpha * token}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DeiT, revision=1)
