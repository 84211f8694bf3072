"""Jin, Wang, Lin, "Multi-level Logit Distillation", CVPR 2023.

    L = a sum over views of CE(y, z_s) + b sum over views and temperatures of (instance + batch + class)
    instance = T^2 KL(P_t || P_s)                           mean over the batch
    batch    = ||P_s P_s^T - P_t P_t^T||^2 / N              how alike two samples are
    class    = ||P_s^T P_s - P_t^T P_t||^2 / C              how alike two classes are

P: softmax of the logits at T, [N, C], rows samples; || ||^2: the sum of squares. The last two have no T^2. Five
temperatures, 2 to 6, and two views of each image: the recipe's and a strong one, FixMatch's.

In the paper the weak view's instance and batch terms count samples of which the teacher is less sure than of half of
them, its class terms classes likewise. In the authors' code these masks multiply a scalar that is already summed, which
halves it and masks nothing; it computes the strong view's batch and class terms and does not return them, and takes the
weak view's logits for T = 2 and 6 of its strong instance terms. Here the formula stands for both views, without masks.

two_views = false is the method as others report it without the second view (`mlkd_noaug`). The authors train twice to
four times as long as the common recipe, at half its rate: a matter of the recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, hookimpl

TEMPERATURES = (2.0, 3.0, 4.0, 5.0, 6.0)


def _levels(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> dict[str, Tensor]:
    """The three terms at one temperature. Logits [N, classes]."""
    log_s = F.log_softmax(student_logits / temperature, dim=1)
    log_t = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    p_s, p_t = log_s.exp(), log_t.exp()
    samples, classes = p_s.shape
    return {
        "instance": temperature**2 * F.kl_div(log_s, log_t, reduction="batchmean", log_target=True),
        "batch": (p_s @ p_s.T - p_t @ p_t.T).square().sum() / samples,
        "class": (p_s.T @ p_s - p_t.T @ p_t).square().sum() / classes,
    }


def mlkd_levels(student_logits: Tensor, teacher_logits: Tensor, temperatures: Sequence[float]) -> dict[str, Tensor]:
    """The three terms of one view by name, each summed over the temperatures. Logits [N, classes]."""
    each = [_levels(student_logits, teacher_logits, temperature) for temperature in temperatures]
    return {name: sum((terms[name] for terms in each[1:]), each[0][name]) for name in each[0]}


def mlkd_loss(student_logits: Tensor, teacher_logits: Tensor, temperatures: Sequence[float]) -> Tensor:
    """The sum of all terms of one view. Logits [N, classes]; a scalar."""
    terms = mlkd_levels(student_logits, teacher_logits, temperatures)
    return terms["instance"] + terms["batch"] + terms["class"]


class MLKD(Method):
    """Match samples, and how alike samples and classes are, at several temperatures on two views.

    two_views: whether there is a second view. view: what it is, an installed view's name.
    """

    name = "mlkd"
    paper = "Jin, Wang, Lin, Multi-level Logit Distillation, CVPR 2023"
    terms = {"ce": "task", "instance": "distill", "batch": "distill", "class": "distill"}
    mixed_labels = "mix"
    ablations = {"one_view": {"two_views": False}, "one_temperature": {"temperatures": (4.0,)}}
    ce_weight: NotNegative = 0.1
    weight: NotNegative = 0.9
    temperatures: Annotated[tuple[Positive, ...], Field(min_length=1)] = TEMPERATURES
    two_views: bool = True
    view: str = "fixmatch"

    @property
    def reads(self) -> Reads:
        return Reads(views=("recipe", self.view) if self.two_views else ("recipe",))

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        pairs = [(own.logits, its.logits) for own, its in zip(student.views, teacher.views, strict=True)]
        levels = [mlkd_levels(own, its, self.temperatures) for own, its in pairs]
        task = [batch.task_loss(own) for own, _ in pairs]
        summed = {name: sum((view[name] for view in levels[1:]), levels[0][name]) for name in levels[0]}
        return {
            "ce": self.ce_weight * sum(task[1:], task[0]),
            **{name: self.weight * level for name, level in summed.items()},
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(MLKD, revision=1)
