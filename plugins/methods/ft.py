"""Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor Transfer", NeurIPS 2018, arXiv
1802.04977.

    paraphraser:  L_rec = || D(E(f_t)) - f_t ||^2                     averaged over all elements
    train:        L = CE(y, z_s) + beta mean | n(T(f_s)) - n(E(f_t)) |
                  n(F) = Q / ||Q||_2,   Q = mean_c F_c^2, flattened over positions

f_s, f_t: the deepest stage of student and teacher; E, D: the paraphraser, an encoder to k times as many channels and a
decoder back, trained first and without labels; T: the translator, which trains with the student. What E makes of the
teacher's map are its factors, which a student shall find easier to learn than the map.

The paper normalises the factors themselves. RepDistiller compares their maps of mean squares, as attention transfer
does, and takes k = 0.5, beta = 200 and 30 epochs for the paraphraser beside the 240 of training, at a learning rate of
0.01 (for a VGG at the recipe's 0.05): that is followed here. Its paraphraser has no batch normalisation, its translator
has. The larger factor is average-pooled where sizes differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

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
    Phase,
    Player,
    Positive,
    Reads,
    hookimpl,
)

from ._guided import CONSTANT
from ._spatial import pool_to_smaller


def _unit_energy(factor: Tensor) -> Tensor:
    """n(F) [N, H * W]."""
    return F.normalize(factor.square().mean(dim=1).flatten(1), dim=1)


def ft_loss(student_factor: Tensor, teacher_factor: Tensor) -> Tensor:
    """The distance of two factors [N, C, H, W], any C, H, W; a scalar."""
    student, teacher = pool_to_smaller(student_factor, teacher_factor.detach())
    return F.l1_loss(_unit_energy(student), _unit_energy(teacher))


def _convolutions(layer: type[nn.Conv2d] | type[nn.ConvTranspose2d], widths: Sequence[int], norm: bool) -> nn.Module:
    """3x3 layers that keep height and width, from each of `widths` to the next."""
    stack = nn.Sequential()
    for before, after in pairwise(widths):
        stack.append(layer(before, after, kernel_size=3, stride=1, padding=1))
        if norm:
            stack.append(nn.BatchNorm2d(after))
        stack.append(nn.LeakyReLU(0.1))
    return stack


class Paraphraser(nn.Module):
    """E and D, from maps [N, channels, H, W] to factors [N, factors, H, W] and back."""

    def __init__(self, channels: int, factors: int) -> None:
        super().__init__()
        self.encoder = _convolutions(nn.Conv2d, (channels, channels, factors, factors), norm=False)
        self.decoder = _convolutions(nn.ConvTranspose2d, (factors, factors, channels, channels), norm=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The maps as they come back."""
        restored: Tensor = self.decoder(self.encoder(maps))
        return restored


class FT(Method):
    """Learn the teacher's factors, which a paraphraser finds in its deepest stage."""

    name = "ft"
    paper = "Kim, Park, Kwak, Paraphrasing Complex Network: Network Compression via Factor Transfer, NeurIPS 2018"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "ft": "distill", "reconstruction": "player"}
    mixed_labels = "mix"
    published = {pair: {"paraphraser_lr": 0.05} for pair in ("vgg13:vgg8", "resnet50:vgg8")}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 200.0
    factor_share: Positive = 0.5
    paraphraser_share: Positive = 0.125
    paraphraser_lr: Positive = 0.01

    def build(self, context: BuildContext) -> None:
        student, teacher = context.student.stages[-1][0], context.teacher.stages[-1][0]
        factors = max(1, int(self.factor_share * teacher))
        self.paraphraser = Paraphraser(teacher, factors)
        self.translator = _convolutions(nn.Conv2d, (student, student, factors, factors), norm=True)

    def phases(self) -> Sequence[Phase]:
        alone = Player("paraphraser", ("method.paraphraser",), {"lr": self.paraphraser_lr})
        return [
            Phase("paraphraser", fraction=self.paraphraser_share, players=(alone,), recipe=CONSTANT),
            Phase("train", players=(Player(parts=("student", "method.translator")),)),
        ]

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        maps = teacher.stages[-1]
        if batch.step.phase == "paraphraser":
            return {"reconstruction": F.mse_loss(self.paraphraser(maps), maps)}
        with torch.no_grad():
            factor = self.paraphraser.encoder(maps)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "ft": self.weight * ft_loss(self.translator(student.stages[-1]), factor),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(FT, revision=1)
