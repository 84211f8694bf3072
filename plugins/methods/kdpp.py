"""Wang, Cheng, Duan, Wang, Feng, Kong, "Improving Knowledge Distillation via Regularizing Feature Norm and Direction",
arXiv 2305.17007, 2023 (KD++).

    L = CE(y, z_s) + w(t) a T^2 KL(p_t || p_s) + b mean_i [ 1 - <e_s, u_y> / max(||e_s||, ||e_t||) ]
    u_c = c / ||c||,     c: the mean of the teacher's embeddings of a class

e_s, e_t: embeddings of student and teacher. The ND term turns the student's embedding towards the mean of its class and
lets it grow up to the teacher's norm, and no further. p: softmax at temperature T = 4; w rises from 0 to 1 over the
first 20 of 240 epochs, in steps of one epoch in the authors' code, without steps here.

The code takes means of one pass over the augmented training images before training. Here they are means of all images
seen so far, the batch's own among them: from the second epoch on of as many images and more, and no pass of their own.
Where a recipe mixes images, an image counts for the class of its larger share. Where widths differ, the student's
embedding passes BN, dropout of one half and a trained linear map, as in the code. It tunes a and b for each of six
pairs: the default is its first command, a = 1, b = 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

from ._warmup import warmup
from .kd import kd_loss


def kdpp_loss(student_embedding: Tensor, teacher_embedding: Tensor, centres: Tensor, targets: Tensor) -> Tensor:
    """The ND term without b, a scalar. Embeddings [N, D]; centres [classes, D] of any length; targets int64 [N]."""
    directions = F.normalize(centres, dim=1)[targets]
    norms = torch.maximum(student_embedding.norm(dim=1), teacher_embedding.detach().norm(dim=1)).clamp(min=1e-12)
    return (1 - (student_embedding * directions).sum(dim=1) / norms).mean()


def make_adapter(student: int, teacher: int) -> nn.Module:
    """From a student's width to its teacher's; nothing where they are equal."""
    if student == teacher:
        return nn.Identity()
    linear = nn.Linear(student, teacher)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.BatchNorm1d(student), nn.Dropout(0.5), linear)


class KDPlusPlus(Method):
    """Soft targets, and the student's embedding turned towards the teacher's class means.

    kd_weight: a. weight: b.
    """

    name = "kdpp"
    paper = (
        "Wang, Cheng, Duan, Wang, Feng, Kong, Improving Knowledge Distillation via Regularizing Feature Norm and "
        "Direction, arXiv 2305.17007, 2023"
    )
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "kd": "distill", "nd": "distill"}
    mixed_labels = "larger"
    ablations = {"no_warmup": {"warmup_epochs": 0}}
    published = {
        "resnet32x4:resnet8x4": {"kd_weight": 3.5},
        "wrn_40_2:wrn_40_1": {"weight": 1.5},
        "resnet50:mobilenet_v2": {"kd_weight": 3.0, "weight": 0.5},
        "resnet32x4:shuffle_v1": {"kd_weight": 2.5, "weight": 1.5},
        "resnet32x4:shuffle_v2": {"kd_weight": 4.0, "weight": 0.5},
    }
    ce_weight: NotNegative = 1.0
    kd_weight: NotNegative = 1.0
    weight: NotNegative = 2.0
    temperature: Positive = 4.0
    warmup_epochs: Annotated[int, Field(ge=0)] = 20

    def build(self, context: BuildContext) -> None:
        width = context.teacher.embedding or 0
        self.adapter = make_adapter(context.student.embedding or 0, width)
        # Sums have the direction of means, which is all that counts.
        self.sums: Tensor = nn.Buffer(torch.zeros(context.num_classes, width))

    def sums_with(self, batch: Batch, embedding: Tensor) -> Tensor:
        """Of the teacher's embeddings of each class [classes, D], this batch included."""
        members = torch.eq(torch.arange(len(self.sums), device=embedding.device).unsqueeze(1), batch.targets)
        return self.sums + members.to(embedding.dtype) @ embedding

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        kd = kd_loss(student.logits, teacher.logits, self.temperature)
        centres = self.sums_with(batch, teacher.embedding)
        nd = kdpp_loss(self.adapter(student.embedding), teacher.embedding, centres, batch.targets)
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "kd": self.kd_weight * warmup(batch.step, self.warmup_epochs) * kd,
            "nd": self.weight * nd,
        }

    def after_step(self, batch: Batch, student: Outputs, teacher: Outputs) -> None:
        self.sums.copy_(self.sums_with(batch, teacher.embedding))


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(KDPlusPlus, revision=1)
