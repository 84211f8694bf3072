"""Wei, Luo, Luo, "Scale Decoupled Distillation", CVPR 2024, arXiv 2403.13512.

    L = CE(y, z_s) + lambda / (N M)  sum_i,m  w_im D(z_t^im, z_s^im)
    w_im = 1  where the teacher's verdict on cell m (its first class is y, or is not) is that on the whole image, else 2

z^im: what a network's classifier makes of cell m of its deepest map alone. The cells are those of 1 x 1, 2 x 2 and
4 x 4 average pooling, M = 21 in all; the first is the whole image. D: the divergence of a logit method for one sample,
which `kind` says: KD ("kd", SD-KD in the paper), DKD ("dkd") or NKD ("nkd"). Logits of the whole image mix what is in
it; cells on which the teacher changes its mind are taught twice as much.

The authors' code is followed: it pools to 4 x 4 first and the other cells from there; KD has weights 0.1 for CE and
0.9, the others 1 with a rise over the first 20 epochs, which is continuous here. T = 4, alpha = 1; beta is DKD's, and
NKD's gamma, both per pair. Some of its pairs leave out the 4 x 4 cells. Not followed: its NKD does not take the label
out of the other classes; its KD sets to 0 what is not a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Positive,
    Reads,
    StagedModel,
    hookimpl,
)

from ._classes import decoupled, is_class
from ._divergence import kl_each
from ._places import Statistics, classifier_of, place_embeddings, why_not_apart
from ._spatial import pool_to
from ._warmup import warmup

FINEST = 4  # what is pooled first, to a side


def _samples(local_logits: Tensor) -> Tensor:
    """Logits [N, classes, M] of cells as those of samples [N M, classes]."""
    return local_logits.transpose(1, 2).flatten(0, 1)


def _weighted(each: Tensor, teacher_local_logits: Tensor, targets: Tensor) -> Tensor:
    """The mean of w times the divergences [N M]. Teacher's logits [N, classes, M]; targets int64 [N]."""
    right = teacher_local_logits.argmax(dim=1) == targets.unsqueeze(1)
    weights = torch.where(right == right[:, :1], 1.0, 2.0)
    return (weights.flatten() * each).mean()


def sdd_loss(student_local_logits: Tensor, teacher_local_logits: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """SD-KD. Logits [N, classes, M], the first cell the whole image; targets int64 [N]; a scalar."""
    log_student = F.log_softmax(_samples(student_local_logits) / temperature, dim=1)
    log_teacher = F.log_softmax(_samples(teacher_local_logits.detach()) / temperature, dim=1)
    return _weighted(temperature**2 * kl_each(log_student, log_teacher), teacher_local_logits, targets)


def _decoupled_cells(
    student: Tensor, teacher: Tensor, targets: Tensor, temperature: float
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """log b [N M, 2] and log p_hat [N M, classes] of both, at the temperature (see `decoupled`)."""
    of_student, of_teacher = _samples(student), _samples(teacher.detach())
    is_target = is_class(_repeated(targets, student.shape[2]), of_student)
    return decoupled(of_student / temperature, is_target), decoupled(of_teacher / temperature, is_target)


def _repeated(targets: Tensor, cells: int) -> Tensor:
    """[N M] of targets [N]."""
    return targets.unsqueeze(1).expand(-1, cells).flatten()


def sdd_dkd_loss(
    student_local_logits: Tensor,
    teacher_local_logits: Tensor,
    targets: Tensor,
    alpha: float,
    beta: float,
    temperature: float,
) -> Tensor:
    """SD-DKD. Logits [N, classes, M], the first cell the whole image; targets int64 [N]; a scalar."""
    student, teacher = _decoupled_cells(student_local_logits, teacher_local_logits, targets, temperature)
    tckd, nckd = (kl_each(*logs) for logs in zip(student, teacher, strict=True))
    return _weighted(temperature**2 * (alpha * tckd + beta * nckd), teacher_local_logits, targets)


def sdd_nkd_loss(
    student_local_logits: Tensor, teacher_local_logits: Tensor, targets: Tensor, gamma: float, temperature: float
) -> Tensor:
    """SD-NKD. Logits [N, classes, M], the first cell the whole image; targets int64 [N]; a scalar."""
    student, teacher = _decoupled_cells(student_local_logits, teacher_local_logits, targets, temperature)
    others = -(teacher[1].exp() * student[1]).sum(dim=1)  # The student's zeros at the target add nothing.
    label = _repeated(targets, student_local_logits.shape[2]).unsqueeze(1)
    sure = F.softmax(_samples(teacher_local_logits.detach()), dim=1).gather(1, label)
    own = -(sure * F.log_softmax(_samples(student_local_logits), dim=1).gather(1, label)).squeeze(1)
    return _weighted(own + gamma * temperature**2 * others, teacher_local_logits, targets)


def local_logits(model: StagedModel, feature: Tensor, statistics: Statistics, scales: Sequence[int]) -> Tensor:
    """Logits [N, classes, M] of the cells of all scales, from the network's deepest map [N, C, H, W]."""
    side = max(FINEST, *scales)
    finest = pool_to(place_embeddings(model, feature, statistics), (side, side))
    cells = torch.cat([pool_to(finest, (scale, scale)).flatten(2) for scale in scales], dim=2)
    classifier = classifier_of(model)
    return F.linear(cells.transpose(1, 2), classifier.weight, classifier.bias).transpose(1, 2)


@dataclass(frozen=True)
class Settings:
    """What the authors' code has for one kind: weights of CE and of the cells' term, epochs of its rise."""

    ce_weight: float
    weight: float
    warmup_epochs: int


SETTINGS = {"kd": Settings(0.1, 0.9, 0), "dkd": Settings(1.0, 1.0, 20), "nkd": Settings(1.0, 1.0, 20)}


class SDD(Method):
    """Match the logits of cells of the deepest map, more where the teacher changes its mind."""

    name = "sdd"
    paper = "Wei, Luo, Luo, Scale Decoupled Distillation, CVPR 2024"
    reads = Reads(taps=("stages",))
    terms = {"ce": "task", "sdd": "distill"}
    mixed_labels = "larger"
    ablations = {"whole_image": {"scales": (1,)}, "dkd": {"kind": "dkd"}, "nkd": {"kind": "nkd"}}
    published = {
        "resnet110:resnet32": {"beta": 2.0},
        "resnet56:resnet20": {"beta": 2.0},
        "resnet32x4:resnet8x4": {"scales": (1, 2)},
        "vgg13:vgg8": {"beta": 6.0, "scales": (1, 2)},
        "vgg13:mobilenet_v2": {"beta": 6.0},
        "vgg13:shuffle_v1": {"beta": 6.0},
        "wrn_40_2:wrn_16_2": {"beta": 6.0},
        "wrn_40_2:wrn_40_1": {"beta": 6.0},
        "wrn_40_2:mobilenet_v2": {"beta": 6.0},
    }
    kind: Literal["kd", "dkd", "nkd"] = "kd"
    scales: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (1, 2, 4)
    temperature: Positive = 4.0
    alpha: NotNegative = 1.0
    beta: NotNegative = 8.0
    ce_weight: NotNegative | None = None
    weight: NotNegative | None = None
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None

    def skip(self, context: BuildContext) -> str | None:
        if self.scales[:1] != (1,):
            return f"scales is {', '.join(map(str, self.scales)) or 'empty'}: the first is to be 1, the whole image"
        of_student = why_not_apart(context.student_model, context.student)
        return of_student or why_not_apart(context.teacher_models[0], context.teacher)

    @property
    def settings(self) -> Settings:
        """The kind's, and what is given in their place."""
        of_kind = SETTINGS[self.kind]
        return Settings(
            of_kind.ce_weight if self.ce_weight is None else self.ce_weight,
            of_kind.weight if self.weight is None else self.weight,
            of_kind.warmup_epochs if self.warmup_epochs is None else self.warmup_epochs,
        )

    def divergence(self, student: Tensor, teacher: Tensor, targets: Tensor) -> Tensor:
        """The kind's, of logits [N, classes, M]."""
        if self.kind == "kd":
            return sdd_loss(student, teacher, targets, self.temperature)
        if self.kind == "dkd":
            return sdd_dkd_loss(student, teacher, targets, self.alpha, self.beta, self.temperature)
        return sdd_nkd_loss(student, teacher, targets, self.beta, self.temperature)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        settings = self.settings
        of_student = local_logits(student.model, student.maps(-1), "own", self.scales)
        of_teacher = local_logits(teacher.model, teacher.maps(-1), "frozen", self.scales)
        sdd = self.divergence(of_student, of_teacher, batch.targets)
        return {
            "ce": settings.ce_weight * batch.task_loss(student.logits),
            "sdd": settings.weight * warmup(batch.step, settings.warmup_epochs) * sdd,
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SDD, revision=1)
