"""Chen, Mei, Zhang, Wang, Feng, Chen, "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022, arXiv
2203.14001.

    L = || P(f_s) - f_t ||^2          averaged over all elements

f_s, f_t: the last maps of student and teacher, the larger of the two average-pooled to the smaller's size; P: a trained
projector, 1x1 convolution to C_t / 2 channels, 3x3, 1x1 to C_t, each with batch normalisation and ReLU. There is
neither CE nor KD, and the student's own classifier is not trained: the prediction is the teacher's classifier on the
pooled P(f_s). What is deployed, and what is counted, is the student up to its last map, P, and the teacher's
classifier.

The authors' code is followed (reduction 2; 4 and 8 cost less). Where more than the classifier stands behind the
teacher's last map (the normalisation of a WideResNet), all of that is reused. Such maps have both signs, so that P ends
without its last ReLU there; the code has no such network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, StagedModel, hookimpl

from ._spatial import pool_to_smaller


def simkd_loss(student_feature: Tensor, teacher_feature: Tensor) -> Tensor:
    """Mean squared difference, a scalar. Maps [N, C, H, W]: P(f_s), and f_t, which is pooled to its size."""
    student, teacher = pool_to_smaller(student_feature, teacher_feature.detach())
    return F.mse_loss(student, teacher)


def make_projector(student: int, teacher: int, reduction: int, signed: bool) -> nn.Sequential:
    """P, from a student's channels to a teacher's. signed: whether it gives negative numbers too."""
    middle = max(teacher // reduction, 1)
    convolutions = (
        nn.Conv2d(student, middle, kernel_size=1, bias=False),
        nn.Conv2d(middle, middle, kernel_size=3, padding=1, bias=False),
        nn.Conv2d(middle, teacher, kernel_size=1, bias=False),
    )
    layers = [part for conv in convolutions for part in (conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())]
    return nn.Sequential(*(layers[:-1] if signed else layers))


def deep_end(model: StagedModel) -> list[nn.Parameter]:
    """The parameters that are used behind a network's last stage."""
    return model.sections()[-1]


class Reused(nn.Module):
    """The student up to its last map, the projector, and the teacher's deep end: images to logits."""

    def __init__(self, student: StagedModel, projector: nn.Module, teacher: StagedModel, size: tuple[int, int]) -> None:
        super().__init__()
        self.student = student
        self.projector = projector
        self.classifier = nn.ParameterList(deep_end(teacher))
        # The teacher is shared, and no part of this module: of its weights only those of the deep end are used.
        self._logits = teacher.head
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        features = self.student.trunk(self.student.num_stages - 1, images)
        pooled = F.adaptive_avg_pool2d(features, self.size)
        return self._logits(self.projector(pooled), statistics="frozen")


class SimKD(Method):
    """Match the last map, and predict with the teacher's classifier."""

    name = "simkd"
    paper = "Chen, Mei, Zhang, Wang, Feng, Chen, Knowledge Distillation with the Reused Teacher Classifier, CVPR 2022"
    reads = Reads(taps=("stages",))
    terms = {"simkd": "distill"}
    mixed_labels = "mix"
    ablations = {"reduction_4": {"reduction": 4}, "reduction_8": {"reduction": 8}}
    weight: NotNegative = 1.0
    reduction: Annotated[int, Field(ge=1)] = 2

    def skip(self, context: BuildContext) -> str | None:
        teacher = context.teacher_models[0]
        if teacher.spec.tokens is not None:
            return f"its projector makes maps, and the classifier of '{teacher.spec.name}' reads tokens"
        return None

    def build(self, context: BuildContext) -> None:
        student, teacher = context.student.stages[-1], context.teacher.stages[-1]
        model = context.teacher_models[0]
        behind = {id(parameter) for parameter in deep_end(model)}
        signed = behind != {id(parameter) for parameter in model.classifier.parameters()}
        self.projector = make_projector(student[0], teacher[0], self.reduction, signed)
        self.size = (min(student[1], teacher[1]), min(student[2], teacher[2]))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        source, target = pool_to_smaller(student.maps(-1), teacher.maps(-1))
        return {"simkd": self.weight * simkd_loss(self.projector(source), target)}

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Reused:
        return Reused(student, self.projector, teachers[0], self.size)

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return {"logits": self.predictor(student, teachers)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SimKD, revision=1)
