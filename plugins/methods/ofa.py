"""Hao, Guo, Han, Tang, Hu, Wang, Xu, "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge
Distillation", NeurIPS 2023: OFA-KD.

    L = CE(y, z_s) + OFA(z_s) + sum_k OFA(h_k(f_k)),      OFA(z) = -sum_c ((p_t[c] + 1[c = y])^eps - 1[c = y]) log p[c]

f_k: the student's map of stage k; h_k: an exit to logits; p, p_t: softmax of the exit's and the teacher's logits at
temperature T. Networks of unlike kinds have nothing to compare but class probabilities: so every stage of the student
is projected to these, and compared with the teacher's answer, of which only the logits are read. eps >= 1 raises the
target class above what a doubtful teacher gives it; at 1 the term is cross-entropy with p_t.

The authors' code is followed: the term has no T^2; eps and T are 1 unless said; an exit halves the map by separable
convolutions once for every stage that is behind its own (a 1x1 convolution where there is none), averages over places
and classifies. Of a student of tokens it merges patches two by two down to seven along a side, has a block of attention
for every stage behind its own, at least one, and classifies the class token, or the mean. It takes four stages; here as
many as the network has. Mixed labels count as their larger part, as there.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    ModelShape,
    NotNegative,
    Outputs,
    Positive,
    Reads,
    hookimpl,
)

from ._token_exits import TokenExit, why_no_exit


def ofa_loss(student_logits: Tensor, teacher_logits: Tensor, targets: Tensor, eps: float, temperature: float) -> Tensor:
    """The term of one exit. Logits [N, classes], targets int64 [N]; a scalar, the mean over the batch."""
    answer = F.softmax(teacher_logits.detach() / temperature, dim=1)
    label = (targets.unsqueeze(1) == torch.arange(answer.shape[1], device=targets.device)).to(answer.dtype)
    enhanced = (answer + label).pow(eps) - label
    return -(enhanced * F.log_softmax(student_logits / temperature, dim=1)).sum(dim=1).mean()


def make_halving(channels: int, out_channels: int) -> list[nn.Module]:
    """Two separable convolutions, the first of stride 2."""
    layers: list[nn.Module] = []
    for stride, wanted in ((2, channels), (1, out_channels)):
        layers += [
            nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, groups=channels, bias=False),
            nn.Conv2d(channels, wanted, kernel_size=1, bias=False),
            nn.BatchNorm2d(wanted),
            nn.ReLU(),
        ]
    return layers


def make_exit(channels: int, halvings: int, width: int, num_classes: int) -> nn.Sequential:
    """h_k. halvings: how many stages are behind; width: channels of what is classified."""
    layers: list[nn.Module] = [] if halvings else [nn.Conv2d(channels, width, kernel_size=1)]
    for number in range(1, halvings + 1):
        wanted = width if number == halvings else 2 * channels
        layers += make_halving(channels, wanted)
        channels = wanted
    leaving = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))
    for module in leaving.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
    return leaving


def width_of(shape: ModelShape) -> int:
    """Channels of what a network classifies."""
    return shape.embedding or shape.stages[-1][0]


class OFA(Method):
    """Teach exits at every stage by the teacher's logits, the target class raised."""

    name = "ofa"
    paper = (
        "Hao, Guo, Han, Tang, Hu, Wang, Xu, One-for-All: Bridge the Gap Between Heterogeneous Architectures in "
        "Knowledge Distillation, NeurIPS 2023"
    )
    reads = Reads(taps=("stages",), teacher_taps=())
    terms = {"ce": "task", "kd": "distill", "ofa": "distill"}
    mixed_labels = "larger"
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    eps: Positive = 1.0
    temperature: Positive = 1.0

    def skip(self, context: BuildContext) -> str | None:
        if (tokens := context.student_model.spec.tokens) is None:
            return None
        reasons = (
            why_no_exit(tokens.prefix, (rows, columns), channels, width_of(context.student))
            for channels, rows, columns in context.student.stages
        )
        return next((reason for reason in reasons if reason is not None), None)

    def build(self, context: BuildContext) -> None:
        stages, tokens = context.student.stages, context.student_model.spec.tokens
        # An ensemble has no embedding.
        widths = [width_of(context.student), *(shape.embedding or stages[-1][0] for shape in context.teachers)]
        exits: list[nn.Module] = []
        for number, (channels, rows, columns) in enumerate(stages, start=1):
            behind = len(stages) - number
            if tokens is None:
                exits.append(make_exit(channels, behind, max(widths), context.num_classes))
            else:
                grid, blocks = (rows, columns), max(1, behind)
                exits.append(TokenExit(tokens.prefix, grid, channels, widths[0], blocks, context.num_classes))
        self.exits = nn.ModuleList(exits)
        self.of_tokens = tokens is not None

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        ofa = student.logits.new_zeros(())
        for number, leaving in enumerate(self.exits):
            feature = student.tokens(number) if self.of_tokens else student.maps(number)
            ofa = ofa + ofa_loss(leaving(feature), teacher.logits, batch.targets, self.eps, self.temperature)
        kd = ofa_loss(student.logits, teacher.logits, batch.targets, self.eps, self.temperature)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * kd,
            "ofa": self.weight * ofa,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(OFA, revision=1)
