"""Heo, Kim, Yun, Park, Kwak, Choi, "A Comprehensive Overhaul of Feature Distillation", ICCV 2019, arXiv 1904.01866.

    L = CE(y, z_s) + beta / N sum_j 2^(j - n + 1) sum_i d_p(s_i^j, max(t_i^j, m_c))       j = 0 .. n - 1
    d_p(s, t) = 0 where s <= t <= 0,   (s - t)^2 elsewhere
    m_c = E[x | x < 0],   x ~ N(beta_c, gamma_c^2)

t: a stage of the teacher before its activation; s: the student's, through a 1x1 convolution with batch normalisation;
i: elements; c: an element's channel, gamma_c and beta_c its scale and shift in the teacher's last batch normalisation
before that activation. The activation keeps nothing below 0, so that a student's element has to be below the teacher's
there, and no further than to the margin m_c.

mdistiller is followed: beta = 0.001, weights that halve from the deepest stage on, a teacher's map average-pooled to
the student's size, m_c = -3 gamma_c where a negative x is rarer than 1 in 1000. Two things are not followed. Its
teacher is in train mode, against its own comment, so that batches change what it says and its statistics drift; here a
teacher is in eval mode. Its margins are counted from the shallow end, where stages are matched from the deep end, which
fits networks of equal depth alone; here both are matched alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Reads,
    StagedModel,
    hookimpl,
    matched_stages,
)

# Where a negative value is rarer, its mean is replaced.
RARE = 0.001


def ofd_margin(gamma: Tensor, beta: Tensor) -> Tensor:
    """m [C] from scale and shift [C] of a batch normalisation."""
    deviation = gamma.abs().clamp_min(torch.finfo(gamma.dtype).tiny)
    ratio = beta / deviation
    below = torch.special.ndtr(-ratio)
    density = torch.exp(-ratio.square() / 2) / math.sqrt(2 * math.pi)
    return torch.where(below > RARE, beta - deviation * density / below, -3 * deviation)


def ofd_loss(
    student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], margins: Sequence[Tensor]
) -> Tensor:
    """The term without beta. Pre-activations [N, C, H, W], shallow to deep, with equal C; margins [C]; a scalar."""
    total = student_features[0].new_zeros(())
    for student, teacher, margin in zip(student_features, teacher_features, margins, strict=True):
        target = F.adaptive_avg_pool2d(teacher.detach(), (student.shape[2], student.shape[3]))
        gap = student - target.maximum(margin.view(-1, 1, 1))
        # Above 0 both sides count, below it only a student that is too high.
        counted = torch.where(target > 0, gap, gap.relu())
        # Halved before each deeper stage is added: the deepest one has weight 1.
        total = total / 2 + counted.square().sum()
    return total / len(student_features[0])


def make_connector(student_channels: int, teacher_channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(student_channels, teacher_channels, kernel_size=1, bias=False)
    nn.init.normal_(convolution.weight, std=math.sqrt(2 / teacher_channels))
    return nn.Sequential(convolution, nn.BatchNorm2d(teacher_channels))


def _affine_norms(model: StagedModel) -> list[nn.BatchNorm2d]:
    """The batch normalisation before each stage's activation; none unless every stage has one with scale and shift."""
    norms = [norm for norm in model.norms if isinstance(norm, nn.BatchNorm2d) and norm.affine]
    return norms if len(norms) == model.num_stages else []


class OFD(Method):
    """Match stages before their activation, negative values only so far as the activation asks."""

    name = "ofd"
    paper = "Heo, Kim, Yun, Park, Kwak, Choi, A Comprehensive Overhaul of Feature Distillation, ICCV 2019"
    reads = Reads(taps=("pre_activations",))
    terms = {"ce": "task", "ofd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 0.001

    def skip(self, context: BuildContext) -> str | None:
        if not _affine_norms(context.teacher_models[0]):
            what = "has its margins from the teacher's batch normalisation"
            return f"{what}, of which model '{context.teacher.name}' declares none before its stages' activations"
        return None

    def build(self, context: BuildContext) -> None:
        pairs = matched_stages(context.student.pre_activations, context.teacher.pre_activations)
        self.connectors = nn.ModuleList(make_connector(student[0], teacher[0]) for student, teacher in pairs)
        norms = _affine_norms(context.teacher_models[0])[-len(pairs) :]
        self.channels = [teacher[0] for _, teacher in pairs]
        self.margins = nn.Buffer(torch.cat([ofd_margin(norm.weight.detach(), norm.bias.detach()) for norm in norms]))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        pairs = matched_stages(student.pre_activations, teacher.pre_activations)
        connected = [r(s) for r, (s, _) in zip(self.connectors, pairs, strict=True)]
        ofd = ofd_loss(connected, [target for _, target in pairs], self.margins.split(self.channels))
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "ofd": self.weight * ofd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(OFD, revision=1)
