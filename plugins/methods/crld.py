"""Zhang, Liu, Cai, Ma, "Cross-View Consistency Regularisation for Knowledge Distillation", ACM MM 2024, arXiv
2412.16493.

    L = sum over views of CE(y, z_s) + w_w WV + w_c CV
    WV = mean of 1[max p_t(weak) >= 0.9] (KL(t_weak || s_weak) + KL(t_strong || s_strong))
    CV = mean of 1[max p_t(strong) >= 0.2] (KL(t_weak || s_strong) + KL(t_strong || s_weak))

KL: T^2 times the divergence at temperature T = 4; p_t: the teacher's probabilities at T = 1; the means are over all
samples of the batch. What the teacher says of one view teaches the student on that view and on the other, as far as the
teacher is sure: more so within a view than across, where a strong view blurs what it says. The weak view is the
recipe's, the strong one FixMatch's.

The weights are 2 and 0.5. Public configurations have w_w by pair (1 or 0.5 for some): those of haiduo/DeepKD, which
trains this method with an optimiser of its own besides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def _divergences(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T^2 KL of each sample, [N]."""
    log_s = F.log_softmax(student_logits / temperature, dim=1)
    log_t = F.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * F.kl_div(log_s, log_t, reduction="none", log_target=True).sum(dim=1)


def _sure(teacher_logits: Tensor, threshold: float) -> Tensor:
    """1 for samples of which the teacher is sure, else 0: [N]."""
    return (teacher_logits.softmax(dim=1).amax(dim=1) >= threshold).to(teacher_logits.dtype)


def crld_loss(
    student_logits_weak: Tensor,
    student_logits_strong: Tensor,
    teacher_logits_weak: Tensor,
    teacher_logits_strong: Tensor,
    temperature: float,
    weak_threshold: float,
    strong_threshold: float,
    within_weight: float,
    cross_weight: float,
) -> Tensor:
    """w_w WV + w_c CV. Logits [N, classes]; a scalar, the mean over the batch."""
    s_w, s_s = student_logits_weak, student_logits_strong
    t_w, t_s = teacher_logits_weak.detach(), teacher_logits_strong.detach()
    within = _divergences(s_w, t_w, temperature) + _divergences(s_s, t_s, temperature)
    across = _divergences(s_s, t_w, temperature) + _divergences(s_w, t_s, temperature)
    of_within = (_sure(t_w, weak_threshold) * within).mean()
    return within_weight * of_within + cross_weight * (_sure(t_s, strong_threshold) * across).mean()


class CRLD(Method):
    """Match a sure teacher within a weak and a strong view, and across the two.

    weak_threshold, strong_threshold: how sure the teacher must be of the weak view for terms within views, and of the
    strong one for those across. view: the strong one, an installed view's name.
    """

    name = "crld"
    paper = "Zhang, Liu, Cai, Ma, Cross-View Consistency Regularisation for Knowledge Distillation, ACM MM 2024"
    terms = {"ce": "task", "crld": "distill"}
    mixed_labels = "mix"
    ablations = {"within_only": {"cross_weight": 0.0}, "cross_only": {"within_weight": 0.0}}
    published = {
        "resnet110:resnet20": {"within_weight": 1.0},
        "resnet110:resnet32": {"within_weight": 1.0},
        "resnet32x4:shuffle_v2": {"within_weight": 0.5},
        "resnet56:resnet20": {"within_weight": 0.5},
        "wrn_40_2:resnet8x4": {"within_weight": 1.0},
        "wrn_40_2:wrn_40_1": {"within_weight": 0.5},
    }
    ce_weight: NotNegative = 1.0
    within_weight: NotNegative = 2.0
    cross_weight: NotNegative = 0.5
    temperature: Positive = 4.0
    weak_threshold: Confidence = 0.9
    strong_threshold: Confidence = 0.2
    view: str = "fixmatch"

    @property
    def reads(self) -> Reads:
        return Reads(views=("recipe", self.view))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        weak, strong = (outputs.logits for outputs in student.views)
        taught_weak, taught_strong = (outputs.logits for outputs in teacher.views)
        crld = crld_loss(
            weak,
            strong,
            taught_weak,
            taught_strong,
            self.temperature,
            self.weak_threshold,
            self.strong_threshold,
            self.within_weight,
            self.cross_weight,
        )
        return {"ce": self.ce_weight * (batch.task_loss(weak) + batch.task_loss(strong)), "crld": crld}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(CRLD, revision=1)
