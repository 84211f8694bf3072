"""Zhang, Liu, Ran, Ma, "Cross-Architecture Distillation Made Simple with Redundancy Suppression", ICCV 2025.

    L = CE(y, z_s) + lambda [ sum_i (R_ii - 1)^2 + kappa sum_{i != j} R_ij^2 ]
    R = t^T h / N

h: the student's pooled embedding through a projector, t: the teacher's, each dimension standardised over the batch of
N. R is the cross-correlation of their D dimensions: its diagonal says what both tell (invariance), the rest what is
told twice (redundancy), as in Barlow Twins, here between two networks. The projector keeps the student's own embedding
free.

The authors' code is followed: lambda = 0.1, kappa = 0.01; projector linear to twice the student's width, BN, GELU,
linear to D, without biases, from a truncated normal of deviation 0.02; deviations divide by N and have 1e-5 added. It
adds no KD. (The command in its README names another method.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl


def _standardised(embedding: Tensor) -> Tensor:
    deviation = embedding.std(dim=0, correction=0)
    return (embedding - embedding.mean(dim=0)) / (deviation + 1e-5)


def rsd_loss(student_embedding: Tensor, teacher_embedding: Tensor, kappa: float) -> Tensor:
    """The term without lambda, a scalar. Embeddings [N, D] of equal D, the student's projected."""
    student, teacher = _standardised(student_embedding), _standardised(teacher_embedding.detach())
    correlation = teacher.T @ student / len(student)
    diagonal = correlation.diagonal()
    redundancy = correlation.square().sum() - diagonal.square().sum()
    return (diagonal - 1).square().sum() + kappa * redundancy


def make_projector(student: int, hidden: int, teacher: int) -> nn.Sequential:
    """h, from a student's width to the teacher's."""
    projector = nn.Sequential(
        nn.Linear(student, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.GELU(),
        nn.Linear(hidden, teacher, bias=False),
    )
    for weight in (projector[0].weight, projector[3].weight):
        nn.init.trunc_normal_(weight, std=0.02)  # type: ignore[arg-type]
    return projector


class RSD(Method):
    """Make the cross-correlation of both embeddings' dimensions the identity."""

    name = "rsd"
    paper = "Zhang, Liu, Ran, Ma, Cross-Architecture Distillation Made Simple with Redundancy Suppression, ICCV 2025"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "rsd": "distill"}
    mixed_labels = "mix"
    ablations = {"no_redundancy": {"kappa": 0.0}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 0.1
    kappa: NotNegative = 0.01
    expansion: Annotated[int, Field(ge=1, le=2**10)] = 2

    def build(self, context: BuildContext) -> None:
        width = context.student.embedding or 0
        self.projector = make_projector(width, self.expansion * width, context.teacher.embedding or 0)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        rsd = rsd_loss(self.projector(student.embedding), teacher.embedding, self.kappa)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "rsd": self.weight * rsd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(RSD, revision=1)
