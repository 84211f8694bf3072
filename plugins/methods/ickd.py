"""Liu, Huang, Lin, Xie, Wang, Chang, Liang, "Exploring Inter-Channel Correlation for Diversity-preserved Knowledge
Distillation", ICCV 2021, arXiv 2202.03680.

    L = CE(y, z_s) + beta / (N C)  sum_i || G(u_i) - G(f_t,i) ||_F^2,      u = BN(W f_s)
    G(f)[c, :] = f_c f^T / || f_c f^T ||_2,      f [C, H * W]: the deepest map, flattened

Channels that resemble each other to the teacher shall resemble each other to the student. Their C x C correlations are
compared, so that heights and widths of the maps may differ. W: a 1x1 convolution to the teacher's C.

The authors' CIFAR-100 code is followed, with beta = 2.5. It trains a second embedding, as wide as the student, that
nothing reads; there is none here, and the teacher's map is compared as it is. Their table has rows with KL beside this
term and without; this is the one without.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl


def _correlations(feature: Tensor) -> Tensor:
    """G [N, C, C] of maps [N, C, H, W]."""
    flat = feature.flatten(2)
    return F.normalize(flat @ flat.transpose(1, 2), dim=2)


def ickd_loss(student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """The correlation term without beta. Maps [N, C, H, W] of equal N and C; a scalar."""
    difference = _correlations(student_feature) - _correlations(teacher_feature.detach())
    return difference.square().sum() / (difference.shape[0] * difference.shape[1])


class ICKD(Method):
    """Match the correlations between the channels of the deepest map."""

    name = "ickd"
    paper = (
        "Liu, Huang, Lin, Xie, Wang, Chang, Liang, Exploring Inter-Channel Correlation for Diversity-preserved "
        "Knowledge Distillation, ICCV 2021"
    )
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "ickd": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 2.5

    def build(self, context: BuildContext) -> None:
        channels = context.teacher.stages[-1][0]
        self.embed = nn.Sequential(
            nn.Conv2d(context.student.stages[-1][0], channels, kernel_size=1, bias=False), nn.BatchNorm2d(channels)
        )

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        ickd = ickd_loss(self.embed(student.maps(-1)), teacher.maps(-1))
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "ickd": self.weight * ickd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(ICKD, revision=1)
