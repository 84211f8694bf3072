"""Lv, Yang, Li, "Wasserstein Distance Rivals Kullback-Leibler Divergence for Knowledge Distillation", NeurIPS 2024,
arXiv 2412.08139: the form for logits, WKD-L.

    L = CE(y, z_s) - p_t,y log p_s,y + gamma W(q_s, q_t)
    W = sum_ij P_ij D_ij,    P the entropic transport plan from q_s to q_t:  u_i exp(-D_ij / lambda) v_j

p: softmax of the logits at temperature 1; q: of the logits of the classes other than y, at temperature T. D_ij says how
far class j is from class i in the eyes of the teacher, so that probability given to a class like the right one costs
less; KL compares each class with itself alone.

    D_ij = 1 - exp(-kappa (1 - CKA(X_i, X_j)))

X_i: the teacher's answers to images of class i, centred; CKA: linear, of X_i and X_j with their images paired one by
one. The pairing is a choice, and moves D: image k of one class is paired with image k of the other. In public code the
order is that of a loader. Here it is that of the training subset, made once before the first epoch from the images
without augmentation: as many of each class as there are on average, at most `images`; those of a class that has fewer
come again. Answers are logits, as in the authors' tool by default and for ImageNet; for CIFAR-100 they took all places
of the last feature map.

P comes from 10 Sinkhorn steps (v, then u, from u = 1 / (C - 1), with 1e-8 added to what divides), and gradient flows
through all of them. gamma falls to 0 by a cosine from epoch 150 of 240 on. Defaults are those of resnet32x4 to
resnet8x4. Class y is taken out of q and P by zeros, which needs no matrix for each sample. Of a mixed image y is the
label with the larger share.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import (
    Batch,
    BuildContext,
    EpochContext,
    MethodSpec,
    NotNegative,
    Outputs,
    Positive,
    hookimpl,
    log_mean_probability,
)

from ._classes import decoupled, is_class
from ._decay import cosine_decay
from ._logits import LogitMethod
from .nkd import target_cross_entropy


def wkd_cost(class_features: Tensor, sharpen: float) -> Tensor:
    """D [C, C], from answers to n images of each class [C, n, d]; sharpen: kappa. The order of images matters.

    Of a class whose answers are all alike, or of which there are none, CKA is 0; of two images each it is always 1.
    """
    centred = class_features - class_features.mean(dim=1, keepdim=True)
    grams = F.normalize((centred @ centred.transpose(1, 2)).flatten(1), dim=1)
    return 1 - (-sharpen * (1 - grams @ grams.T)).exp()


def _transport(q: tuple[Tensor, Tensor], u: Tensor, cost: Tensor, regularisation: float, iterations: int) -> Tensor:
    """W of each sample, [N]. q: the student's and the teacher's probabilities; u: where the steps begin; each [N, C],
    and 0 at a class that is left out. cost: [C, C].
    """
    q_student, q_teacher = q
    cost = cost.clamp(min=0) + 1e-8
    kernel = (-cost / regularisation).exp()
    v = u
    for _ in range(iterations):
        v = q_teacher / (u @ kernel + 1e-8)
        u = q_student / (v @ kernel.T + 1e-8)
    return (u * (v @ (kernel * cost).T)).sum(dim=1)


def wkd_l_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    targets: Tensor,
    cost: Tensor,
    temperature: float,
    gamma: float | Tensor,
    regularisation: float,
    iterations: int,
) -> Tensor:
    """Both terms. Logits [N, classes], targets int64 [N], cost [classes, classes]: D; a scalar."""
    is_target = is_class(targets, student_logits)
    _, student_others = decoupled(student_logits / temperature, is_target)
    _, teacher_others = decoupled(teacher_logits.detach() / temperature, is_target)
    # At the target both are exp(0).
    q = student_others.exp().masked_fill(is_target, 0), teacher_others.exp().masked_fill(is_target, 0)
    even = (~is_target).to(student_logits.dtype) / (student_logits.shape[1] - 1)
    distance = _transport(q, even, cost, regularisation, iterations)
    return (target_cross_entropy(student_logits, teacher_logits, targets) + gamma * distance).mean()


def first_of_each_class(targets: Tensor, classes: int, most: int) -> tuple[Tensor, Tensor]:
    """Positions [classes, n] of the first images of each class, and how many it has, [classes].

    n: as many as classes have on average, at most `most`. Of a class that has fewer they come again from its first.
    """
    n = min(most, len(targets) // classes)
    order = targets.argsort(stable=True)
    each = torch.arange(classes, device=targets.device)
    begin, end = (torch.searchsorted(targets[order], each, right=right) for right in (False, True))
    place = torch.arange(n, device=targets.device) % (end - begin).clamp(min=1).unsqueeze(1)
    return order[(begin.unsqueeze(1) + place).clamp(max=len(targets) - 1)], end - begin


class WKDL(LogitMethod):
    """Match softened probabilities by what it costs to move one into the other, between classes of known distance."""

    name = "wkd_l"
    paper = "Lv, Yang, Li, Wasserstein Distance Rivals Kullback-Leibler Divergence for KD, NeurIPS 2024"
    terms = {"ce": "task", "wkd_l": "distill"}
    by_label = True
    ablations = {"target_only": {"gamma": 0.0}, "no_decay": {"decay_start": 1.0}}
    published = {"wrn_40_2:shuffle_v1": {"gamma": 200.0, "temperature": 6.0}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    gamma: NotNegative = 600.0
    temperature: Positive = 8.0
    regularisation: Positive = 0.05
    iterations: Annotated[int, Field(ge=1, le=1000)] = 10
    sharpen: Positive = 1.0
    decay_start: Annotated[float, Field(ge=0, le=1)] = 0.625
    images: Annotated[int, Field(ge=3, le=2**16)] = 500

    def build(self, context: BuildContext) -> None:
        self.teachers = len(context.teachers)
        first, counts = first_of_each_class(context.targets, context.num_classes, self.images)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("is_known", counts > 0, persistent=False)
        self.register_buffer("cost", torch.zeros(context.num_classes, context.num_classes))

    def before_epoch(self, epoch: EpochContext) -> None:
        if epoch.epoch == 0:
            self.get_buffer("cost").copy_(self.cost_of(epoch))

    def cost_of(self, epoch: EpochContext) -> Tensor:
        """D of the teacher's answers to the first images of each class."""
        first = self.get_buffer("first")
        answers = [epoch.predict_teacher(k, first.flatten()) for k in range(self.teachers)]
        logits = answers[0] if self.teachers == 1 else log_mean_probability(answers)
        known = self.get_buffer("is_known").view(-1, 1, 1)
        return wkd_cost(logits.view(*first.shape, len(first)).double() * known, self.sharpen)

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        gamma = self.gamma * cosine_decay(batch.step, self.decay_start)
        numbers = (self.get_buffer("cost"), self.temperature, gamma, self.regularisation, self.iterations)
        wkd_l = self.mean_loss(lambda s, t, y: wkd_l_loss(s, t, y, *numbers), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "wkd_l": self.weight * wkd_l}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(WKDL, revision=1)
