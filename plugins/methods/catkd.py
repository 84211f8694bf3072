"""Guo, Yan, Li, Lin, "Class Attention Transfer Based Knowledge Distillation", CVPR 2023, arXiv 2304.12777.

    L = CE(y, z_s) + beta mean || norm(pool_r(CAM_t)) - norm(pool_r(CAM_s)) ||^2
    CAM[k, x, y] = sum_c w_k[c] f_c(x, y)

f: the map whose mean over places is the embedding; w_k: the classifier's weights of class k. A class activation map
says which places speak for a class. pool_r: adaptive average pooling to r x r; norm: each class's map is divided by its
L2 norm, or is as it is. The mean is over images, classes and places.

The authors' networks have a 1x1 convolution without bias in the place of the linear layer, and average behind it. Ours
keep their linear layer with its bias, of which the maps know nothing either. beta, r and norm are chosen per pair
(`published`). The defaults are those of resnet50 to mobilenet_v2: with norm, for without it beta is made for the size
of one teacher's logits. The maps of all classes are transferred: the code's choice of some of them is off by one and
made for 100 classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Reads, StagedModel, hookimpl

from ._places import Statistics, classifier_of, place_embeddings, why_not_apart
from ._spatial import pool_to


def catkd_loss(student_cams: Tensor, teacher_cams: Tensor, resolution: int, normalize: bool) -> Tensor:
    """The mean squared difference of pooled class maps, without beta. [N, classes, H, W], each of its own H and W."""
    size = (resolution, resolution)
    student, teacher = pool_to(student_cams, size), pool_to(teacher_cams.detach(), size)
    if normalize:
        student, teacher = F.normalize(student.flatten(2), dim=2), F.normalize(teacher.flatten(2), dim=2)
    return F.mse_loss(student, teacher)


def class_maps(model: StagedModel, feature: Tensor, statistics: Statistics) -> Tensor:
    """CAM [N, classes, H, W], from the network's deepest map [N, C, H, W]."""
    return F.conv2d(place_embeddings(model, feature, statistics), classifier_of(model).weight[:, :, None, None])


class CATKD(Method):
    """Match class activation maps."""

    name = "catkd"
    paper = "Guo, Yan, Li, Lin, Class Attention Transfer Based Knowledge Distillation, CVPR 2023"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "catkd": "distill"}
    mixed_labels = "mix"
    published = {
        "resnet110:resnet32": {"weight": 1.8, "normalize": False},
        "resnet32x4:resnet8x4": {"weight": 15.0, "normalize": False},
        "resnet56:resnet20": {"weight": 0.7, "normalize": False},
        "vgg13:vgg8": {"weight": 4.5, "normalize": False},
        "wrn_40_2:wrn_16_2": {"weight": 12.0, "normalize": False},
        "wrn_40_2:wrn_40_1": {"weight": 1.5, "normalize": False},
        "resnet32x4:shuffle_v1": {"weight": 600.0, "resolution": 4},
        "resnet32x4:shuffle_v2": {"weight": 600.0, "resolution": 4},
        "wrn_40_2:shuffle_v1": {"weight": 80.0, "resolution": 4},
        "vgg13:mobilenet_v2": {"weight": 15.0},
    }
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 40.0
    resolution: Annotated[int, Field(ge=1, le=256)] = 2
    normalize: bool = True

    def skip(self, context: BuildContext) -> str | None:
        return why_not_apart(context.student_model, context.student) or why_not_apart(
            context.teacher_models[0], context.teacher
        )

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        student_maps = class_maps(student.model, student.maps(-1), "own")
        teacher_maps = class_maps(teacher.model, teacher.maps(-1), "frozen")
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "catkd": self.weight * catkd_loss(student_maps, teacher_maps, self.resolution, self.normalize),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(CATKD, revision=1)
