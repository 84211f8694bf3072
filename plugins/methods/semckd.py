"""Chen, Mei, Zhang, Wang, Wang, Feng, Chen, "Cross-Layer Distillation with Semantic Calibration", AAAI 2021, arXiv
2012.03236.

    L = CE(y, z_s) + KD(z_s, z_t) + beta / (N n_s)  sum_i,s,t  a_i(s, t) mean (P_st f_s^i - f_t^i)^2
    a_i(s, .) = softmax_t (q_s^i . k_t^i / tau),      q_s^i = norm(MLP_s(G_s[i])),  k_t^i = norm(MLP_t(G_t[i]))

Each stage s of the student learns from all stages t of the teacher, sample by sample as much as attention says: so no
pairs of stages need be chosen. G_s = F_s F_s^T [N, N]: inner products of the flattened maps of a batch, whose row i
describes sample i. P_st: conv 1x1, BN, ReLU, conv 3x3, BN, ReLU, conv 1x1, through twice the teacher's channels; the
larger map is average-pooled. All of it is trained with the student, attention too.

The authors' two repositories (SemCKD, SimKD) agree: beta = 400, KD with T = 4 and weight 1, tau = 1, queries and keys
of a quarter of the batch size. Their MLPs take a row of N numbers, and so no other batch than a full one: the loop
passes over the last batch of an epoch, which no other method's does. Here a shorter row is filled up with zeros, as if
images without content had been in the batch; a full batch gives the published numbers. (A row of a batch that is larger
than the recipe's is cut.) In SimKD each MLP also has layers that nothing reads, which are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from ._spatial import pool_to_smaller
from .kd import kd_loss


def semckd_loss(
    student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], student_attention: Tensor
) -> Tensor:
    """The attended distances without beta; a scalar.

    Projected student's and teacher's maps [N, C, H, W] of stages (s, t) at place s n_t + t; student_attention: a
    [N, n_s, n_t]. Gradient flows into the attention.
    """
    count, stages = student_attention.shape[:2]
    distances = [
        (student - teacher.detach()).square().flatten(1).mean(dim=1)
        for student, teacher in zip(student_features, teacher_features, strict=True)
    ]
    return (student_attention.flatten(1) * torch.stack(distances, dim=1)).sum() / (count * stages)


def make_projector(student_channels: int, teacher_channels: int) -> nn.Sequential:
    """P_st, between maps of equal size."""
    middle = 2 * teacher_channels
    return nn.Sequential(
        nn.Conv2d(student_channels, middle, kernel_size=1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, middle, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, teacher_channels, kernel_size=1, bias=False),
    )


def make_embeddings(count: int, batch_size: int) -> nn.ModuleList:
    """An MLP for each of `count` stages, from a row of G."""
    width = max(2, batch_size // 4)  # a single number would be normalised to a sign
    mlps = (
        nn.Sequential(nn.Linear(batch_size, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)) for _ in range(count)
    )
    return nn.ModuleList(mlps)


class SemCKD(Method):
    """Match every stage with every one of the teacher's, by a trained attention of each sample."""

    name = "semckd"
    paper = "Chen, Mei, Zhang, Wang, Wang, Feng, Chen, Cross-Layer Distillation with Semantic Calibration, AAAI 2021"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "kd": "distill", "semckd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 1.0
    temperature: Positive = 4.0
    weight: NotNegative = 400.0
    softness: Positive = 1.0

    def build(self, context: BuildContext) -> None:
        students, teachers = context.student.stages, context.teacher.stages
        self.batch_size = context.batch_size
        self.queries = make_embeddings(len(students), self.batch_size)
        self.keys = make_embeddings(len(teachers), self.batch_size)
        pairs = product(students, teachers)
        self.projectors = nn.ModuleList(make_projector(student[0], teacher[0]) for student, teacher in pairs)

    def attention(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        """a [N, n_s, n_t] of the maps of all stages."""
        queries = [self.described(f, mlp) for f, mlp in zip(students, self.queries, strict=True)]
        keys = [self.described(f, mlp) for f, mlp in zip(teachers, self.keys, strict=True)]
        energy = torch.stack(queries, dim=1) @ torch.stack(keys, dim=2)
        return (energy / self.softness).softmax(dim=2)

    def described(self, feature: Tensor, mlp: nn.Module) -> Tensor:
        """q or k [N, D] of maps [N, C, H, W]."""
        flat = feature.flatten(1)
        rows = F.pad(flat @ flat.T, (0, self.batch_size - flat.shape[0]))
        return F.normalize(mlp(rows), dim=1)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        students, teachers = student.stages, [feature.detach() for feature in teacher.stages]
        aligned = [pool_to_smaller(*pair) for pair in product(students, teachers)]
        projected = [projector(source) for projector, (source, _) in zip(self.projectors, aligned, strict=True)]
        semckd = semckd_loss(projected, [target for _, target in aligned], self.attention(students, teachers))
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * kd_loss(student.logits, teacher.logits, self.temperature),
            "semckd": self.weight * semckd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SemCKD, revision=1)
