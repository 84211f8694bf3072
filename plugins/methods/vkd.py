"""Miles, Elezi, Deng, "VkD: Improving Knowledge Distillation using Orthogonal Projections", CVPR 2024, arXiv
2403.06213.

    L = CE(y, z_s) + gamma T^2 KL(p_t || p_s) + alpha smooth_l1( Q e_s, LayerNorm(e_t) )

e_s, e_t: the deepest stage of student and teacher, averaged over its positions (patches of a transformer, without the
tokens of no place); Q: a trained map of orthonormal rows or columns, which keeps distances, so that what is learned is
learned by the student; LayerNorm: of each sample, without weight and bias. smooth_l1: x^2 / 2 below 1, |x| - 1/2 above,
averaged over all elements.

The authors' code is followed: alpha = gamma = 1, T = 1, Q by torch's orthogonal parametrisation. There the student is a
DeiT, whose distillation head alone gets the KL divergence; here it is of the logits.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import orthogonal

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from .kd import kd_loss


def vkd_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """The term without alpha, a scalar. Embeddings [N, D]: the student's projected, the teacher's to be normalised."""
    return F.smooth_l1_loss(student_embedding, F.layer_norm(teacher_embedding.detach(), teacher_embedding.shape[1:]))


class VKD(Method):
    """Match layer-normalised embeddings through an orthogonal map, and soft targets."""

    name = "vkd"
    paper = "Miles, Elezi, Deng, VkD: Improving Knowledge Distillation using Orthogonal Projections, CVPR 2024"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "kd": "distill", "vkd": "distill"}
    mixed_labels = "mix"
    # Of equal widths Q is a matrix exponential, which on an accelerator waits for the matrix's norm.
    capturable = False
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 1.0
    temperature: Positive = 1.0
    weight: NotNegative = 1.0

    def build(self, context: BuildContext) -> None:
        student, teacher = context.student.stages[-1][0], context.teacher.stages[-1][0]
        self.projector = orthogonal(nn.Linear(student, teacher, bias=False))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        embeddings = [outputs.maps(-1).mean(dim=(2, 3)) for outputs in (student, teacher)]
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * kd_loss(student.logits, teacher.logits, self.temperature),
            "vkd": self.weight * vkd_loss(self.projector(embeddings[0]), embeddings[1]),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(VKD, revision=1)
