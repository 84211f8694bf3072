"""Yang, Li, Shao, Shi, Yuan, Yuan, "Masked Generative Distillation", ECCV 2022, arXiv 2205.01529.

    L = CE(y, z_s) + alpha / N  sum || f_t - g(m * a(f_s)) ||^2

f_s, f_t: the deepest maps; a: a 1x1 convolution to the teacher's channels, where these differ; m: a mask of 0 and 1,
drawn for each image, of whole channels for classification; g: conv 3x3, ReLU, conv 3x3. What is masked has to be
generated from what is left, which asks more of the student's map than to resemble the teacher's.

The authors' two code bases (MGD, cls_KD) compute the same: a channel is masked with probability 0.15, the squares are
summed over channels and places, alpha = 7e-5. Both need maps of equal size; here the larger one is average-pooled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, hookimpl

from ._spatial import pool_to_smaller


def mgd_loss(student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """The squared distance without alpha. Generated and teacher's maps [N, C, H, W]; a scalar, divided by N alone."""
    return (student_feature - teacher_feature.detach()).square().sum() / student_feature.shape[0]


def make_generation(channels: int) -> nn.Sequential:
    """g."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel_size=3, padding=1),
    )


class MGD(Method):
    """Generate the teacher's deepest map from the student's, of which some channels are masked."""

    name = "mgd"
    paper = "Yang, Li, Shao, Shi, Yuan, Yuan, Masked Generative Distillation, ECCV 2022"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "mgd": "distill"}
    mixed_labels = "mix"
    ablations = {"no_mask": {"masked": 0.0}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 7e-5
    masked: Annotated[float, Field(ge=0, lt=1)] = 0.15

    def build(self, context: BuildContext) -> None:
        channels, wanted = context.student.stages[-1][0], context.teacher.stages[-1][0]
        self.align = nn.Identity() if channels == wanted else nn.Conv2d(channels, wanted, kernel_size=1)
        self.generation = make_generation(wanted)
        self.draws = context.generator("mask", device=True)

    def mask(self, maps: Tensor) -> Tensor:
        """m [N, C, 1, 1] for maps [N, C, H, W]: 0 with probability `masked`, else 1."""
        drawn = torch.rand((*maps.shape[:2], 1, 1), generator=self.draws, device=maps.device)
        return (drawn >= self.masked).to(maps.dtype)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        source, target = pool_to_smaller(student.maps(-1), teacher.maps(-1))
        aligned = self.align(source)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "mgd": self.weight * mgd_loss(self.generation(self.mask(aligned) * aligned), target),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(MGD, revision=1)
