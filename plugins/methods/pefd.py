"""Chen, Wang, Liu, Xu, de Hoog, Huang, "Improved Feature Distillation via Projector Ensemble", NeurIPS 2022, arXiv
2210.15274.

    L = CE(y, z_s) + beta mean_i [1 - cos(h_i, e_t,i)],     h = mean_k ReLU(W_k e_s + b_k)

e_s, e_t: pooled embeddings of student and teacher; W_k, b_k: q = 3 trained projectors that differ by their
initialisation. A student that is trained for two tasks, the labels and the teacher's features, through one projector
fits the teacher too closely; several give a mean of different views, of which the direction alone is matched.

The authors' code is followed: beta = 25, three projectors, no KD. It makes a fourth projector, which is never used and
is not made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl


def pefd_loss(student_projections: Sequence[Tensor], teacher_embedding: Tensor) -> Tensor:
    """1 - cosine of the projections' mean after ReLU and the teacher's embedding, a scalar, the mean over the batch.

    student_projections: W_k e_s + b_k, [N, D] each; teacher_embedding: [N, D].
    """
    mean = torch.stack([projection.relu() for projection in student_projections]).mean(dim=0)
    cosine = (F.normalize(mean, dim=1) * F.normalize(teacher_embedding.detach(), dim=1)).sum(dim=1)
    return (1 - cosine).mean()


class PEFD(Method):
    """Match the direction of the teacher's embedding by the mean of several projectors."""

    name = "pefd"
    paper = "Chen, Wang, Liu, Xu, de Hoog, Huang, Improved Feature Distillation via Projector Ensemble, NeurIPS 2022"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "pefd": "distill"}
    mixed_labels = "mix"
    ablations = {"one_projector": {"projectors": 1}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 25.0
    projectors: Annotated[int, Field(ge=1, le=64)] = 3

    def build(self, context: BuildContext) -> None:
        student, teacher = context.student.embedding or 0, context.teacher.embedding or 0
        self.projections = nn.ModuleList(nn.Linear(student, teacher) for _ in range(self.projectors))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        pefd = pefd_loss([project(student.embedding) for project in self.projections], teacher.embedding)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "pefd": self.weight * pefd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(PEFD, revision=1)
