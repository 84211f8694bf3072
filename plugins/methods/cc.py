"""Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang, "Correlation Congruence for Knowledge Distillation", ICCV 2019, arXiv
1904.01802.

    L = CE(y, z_s) + beta mean_i sum_d |e_s - e_t|[i, d] |e_s - e_t|[i + 1, d]

e_s, e_t: the pooled embeddings of student and teacher, each through a trained linear map to 128 dimensions; i: position
in the batch.

The paper compares the batch's N x N correlation matrices under a Gaussian kernel (by its Taylor series), adds KD and
draws batches by class. RepDistiller, from which the published numbers of this method come, uses the formula above,
received from the paper's authors, on ordinary batches with beta = 0.02: that is followed here. Both linear maps are
trained, so the term alone could be made zero by making them zero; CE does not see them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl


def cc_loss(student_embedding: Tensor, teacher_embedding: Tensor) -> Tensor:
    """The congruence term without beta. Embeddings [N, D] of equal D; a scalar, the mean over N - 1 neighbours."""
    difference = (student_embedding - teacher_embedding).abs()
    return (difference[:-1] * difference[1:]).sum() / max(difference.shape[0] - 1, 1)


class CC(Method):
    """Match embeddings, sample by neighbouring sample, in a common space."""

    name = "cc"
    paper = "Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang, Correlation Congruence for Knowledge Distillation, ICCV 2019"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "cc": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 0.02
    dimension: Annotated[int, Field(ge=1, le=2**16)] = 128

    def build(self, context: BuildContext) -> None:
        self.embed_student = nn.Linear(context.student.embedding or 0, self.dimension)
        self.embed_teacher = nn.Linear(context.teacher.embedding or 0, self.dimension)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        cc = cc_loss(self.embed_student(student.embedding), self.embed_teacher(teacher.embedding))
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "cc": self.weight * cc,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(CC, revision=1)
