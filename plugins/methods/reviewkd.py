"""Chen, Liu, Zhao, Jia, "Distilling Knowledge via Knowledge Review", CVPR 2021, arXiv 2104.09044.

    L = CE(y, z_s) + beta w sum_j HCL(U_j, t_j)
    HCL(u, t) = sum_l 2^-k mean (P_l u - P_l t)^2 / sum_l 2^-k         l = H, 4, 2, 1;   k = 0, 1, 2, 3

t_j: a stage of the teacher before its activation, or its embedding as a map of one position; U_j: the student's stages
and embedding, fused from the deep end: attention chooses at each position between a stage and what was fused before it
(ABF). So each stage of the teacher reviews all deeper ones of the student. P_l: average pooling to l x l, for those l
that are smaller than the map (hierarchical context loss). w: rises from 0 to 1 over the first epochs.

The authors' code and mdistiller agree on all of this: the student's stages after their activation, the fusion's width
(512, or the student's embedding where that is narrower), 20 of 240 epochs of warm-up, maps brought to the teacher's
size by nearest neighbours before the last convolution of a fusion. mdistiller's weight is 1; the authors choose one per
pair (0.6 to 8). Their teacher is in train mode, which makes it follow the batch; mdistiller's is in eval mode, as here.
The weight w rises in steps of one epoch there, from 0 or from 1/20; here it rises continuously from 0. Networks of
unequal depth are matched from the deep end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Reads,
    hookimpl,
    matched_stages,
)

from ._spatial import pool_to
from ._warmup import warmup

WIDEST = 512


def _context_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """HCL of one level, [N, C, H, W] both."""
    total, weights, weight = F.mse_loss(student, teacher), 1.0, 1.0
    for size in (4, 2, 1):
        if size < min(student.shape[2:]):
            weight /= 2
            weights += weight
            total = total + weight * F.mse_loss(pool_to(student, (size, size)), pool_to(teacher, (size, size)))
    return total / weights


def hcl_loss(student_features: Sequence[Tensor], teacher_features: Sequence[Tensor]) -> Tensor:
    """HCL summed over levels. Maps [N, C, H, W], of equal shapes in student and teacher; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher in zip(student_features, teacher_features, strict=True):
        total = total + _context_loss(student, teacher.detach())
    return total


def _convolution(before: int, after: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))


class Fusion(nn.Module):
    """ABF: a stage [N, channels, h, w] and what was fused before it to [N, target, H, W], and what goes on.

    width: channels within; deepest: whether nothing was fused before.
    """

    def __init__(self, channels: int, width: int, target: int, deepest: bool) -> None:
        super().__init__()
        self.enter = _convolution(channels, width, 1)
        self.attention = None if deepest else nn.Conv2d(2 * width, 2, kernel_size=1)
        self.leave = _convolution(width, target, 3)

    def forward(self, stage: Tensor, before: Tensor | None, size: torch.Size) -> tuple[Tensor, Tensor]:
        """size: H, W."""
        fused = self.enter(stage)
        if self.attention is not None and before is not None:
            before = F.interpolate(before, fused.shape[2:], mode="nearest")
            shares = self.attention(torch.cat([fused, before], dim=1)).sigmoid()
            fused = fused * shares[:, :1] + before * shares[:, 1:]
        if fused.shape[2:] != size:
            fused = F.interpolate(fused, size, mode="nearest")
        return self.leave(fused), fused


class ReviewKD(Method):
    """Let each stage of the teacher review the student's deeper ones."""

    name = "reviewkd"
    paper = "Chen, Liu, Zhao, Jia, Distilling Knowledge via Knowledge Review, CVPR 2021"
    reads = Reads(taps=("stages", "embedding"), teacher_taps=("pre_activations", "embedding"))
    terms = {"ce": "task", "reviewkd": "distill"}
    mixed_labels = "mix"
    ablations = {"no_warmup": {"warmup_epochs": 0}}
    published = {
        "resnet56:resnet20": {"weight": 0.6},
        "wrn_40_2:wrn_16_2": {"weight": 5.0},
        "wrn_40_2:wrn_40_1": {"weight": 5.0},
        "wrn_40_2:shuffle_v1": {"weight": 5.0},
        "resnet32x4:resnet8x4": {"weight": 5.0},
        "resnet32x4:shuffle_v1": {"weight": 5.0},
        "resnet32x4:shuffle_v2": {"weight": 8.0},
    }
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 20

    def build(self, context: BuildContext) -> None:
        student, teacher = context.student, context.teacher
        assert student.embedding is not None
        assert teacher.embedding is not None
        pairs = matched_stages(student.stages, teacher.pre_activations)
        channels = [(s[0], t[0]) for s, t in pairs] + [(student.embedding, teacher.embedding)]
        width = min(WIDEST, student.embedding)
        self.fusions = nn.ModuleList(
            Fusion(source, width, target, deepest=level == len(pairs))
            for level, (source, target) in enumerate(channels)
        )

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        pairs = matched_stages(
            [*student.stages, student.embedding[..., None, None]],
            [*teacher.pre_activations, teacher.embedding[..., None, None]],
        )
        reviewed = hcl_loss(self.reviewed(pairs), [target for _, target in pairs])
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "reviewkd": self.weight * warmup(batch.step, self.warmup_epochs) * reviewed,
        }

    def reviewed(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """U, shallow to deep, from levels of student and teacher."""
        results: list[Tensor] = []
        before: Tensor | None = None
        for fusion, (stage, target) in zip(reversed(self.fusions), reversed(pairs), strict=True):
            result, before = fusion(stage, before, target.shape[2:])
            results.append(result)
        return results[::-1]


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(ReviewKD, revision=1)
