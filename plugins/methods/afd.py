"""Ji, Heo, Park, "Show, Attend and Distill: Knowledge Distillation via Attention-based Feature Matching", AAAI 2021,
arXiv 2102.02973.

    L = CE(y, z_s) + a T^2 KL(p_t || p_s) + b sum_t mean_i sum_s alpha_ts || u(phi(f_s)) - u(phi(f_t)) ||^2 / (H_t W_t)
    alpha_t = softmax over s of  (q_t^T W_t k_s + p_t^T p_s) / sqrt(d)
    q_t = BN(W^Q g(f_t)),   k_s = ReLU(BN(W^K g(f_s)))

f_s, f_t: stages of student and teacher, every one with every one; g: mean over positions; phi: mean over channels of
squares, the student's pooled to the size of the teacher's; u: scaled to length 1 over positions; q, k: queries and keys
of d = 128 dimensions, W_t k_s a linear map with BN for all t at once; p: a trained vector for each stage. Which of the
student's stages learns from which of the teacher's is learned, by each sample's features.

The authors' code is followed: a = 0.9, T = 4, b = 200. It compares the output of every residual block (6 to 27 of
them); here the stages, which every network names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from ._spatial import pool_to
from .kd import kd_loss


def _energy(feature: Tensor) -> Tensor:
    """phi [N, 1, H, W] of a map [N, C, H, W]."""
    return feature.square().mean(dim=1, keepdim=True)


def _unit(energy: Tensor) -> Tensor:
    """u [N, H W]."""
    return F.normalize(energy.flatten(1), dim=1)


def afd_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], attention: Tensor) -> Tensor:
    """The attended distances without b, a scalar, the mean over the batch, the sum over the teacher's stages.

    Maps [N, C, H, W] of each stage; attention: alpha, [N, teacher's stages, student's stages], which is trained.
    """
    distances = []
    energies = [_energy(student) for student in student_features]
    for teacher in teacher_features:
        energy = _energy(teacher.detach())
        wanted, size = _unit(energy), (energy.shape[2], energy.shape[3])
        gaps = [(_unit(pool_to(one, size)) - wanted).square().mean(dim=1) for one in energies]
        distances.append(torch.stack(gaps, dim=1))
    return (attention * torch.stack(distances, dim=1)).sum(dim=(1, 2)).mean()


def _linear_norm(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs))


class StageAttention(nn.Module):
    """alpha, of stages of so many channels."""

    def __init__(self, student: Sequence[int], teacher: Sequence[int], dimension: int) -> None:
        super().__init__()
        self.queries = nn.ModuleList(_linear_norm(channels, dimension) for channels in teacher)
        self.keys = nn.ModuleList(_linear_norm(channels, dimension) for channels in student)
        self.bilinear = _linear_norm(dimension, dimension * len(teacher))
        self.teacher_places = nn.Parameter(nn.init.xavier_normal_(torch.empty(len(teacher), dimension)))
        self.student_places = nn.Parameter(nn.init.xavier_normal_(torch.empty(len(student), dimension)))

    def forward(self, student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
        """[N, teacher's stages, student's stages], which sum to 1 over the last."""
        student, teacher = ([f.mean(dim=(2, 3)) for f in side] for side in (student_features, teacher_features))
        query = torch.stack([layer(g) for layer, g in zip(self.queries, teacher, strict=True)], dim=1)
        key = torch.stack([layer(g).relu() for layer, g in zip(self.keys, student, strict=True)], dim=1)
        samples, stages, dimension = key.shape
        mixed = self.bilinear(key.flatten(0, 1)).reshape(samples, stages, -1, dimension)
        logits = torch.einsum("nstd,ntd->nts", mixed, query) + self.teacher_places @ self.student_places.T
        return (logits / math.sqrt(dimension)).softmax(dim=2)


class AFD(Method):
    """Match every stage with every stage, weighted by an attention that is trained, and soft targets.

    kd_weight: a. weight: b. dimension: d.
    """

    name = "afd"
    paper = (
        "Ji, Heo, Park, Show, Attend and Distill: Knowledge Distillation via Attention-based Feature Matching, AAAI "
        "2021"
    )
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "kd": "distill", "afd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 0.9
    temperature: Positive = 4.0
    weight: NotNegative = 200.0
    dimension: Annotated[int, Field(ge=1, le=2**16)] = 128

    def build(self, context: BuildContext) -> None:
        student, teacher = ([shape[0] for shape in side.stages] for side in (context.student, context.teacher))
        self.attention = StageAttention(student, teacher, self.dimension)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        attention = self.attention(student.stages, teacher.stages)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * kd_loss(student.logits, teacher.logits, self.temperature),
            "afd": self.weight * afd_loss(student.stages, teacher.stages, attention),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(AFD, revision=2)
