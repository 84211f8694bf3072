"""Shen, Xu, Yang, Li, Guo, "Self-Distillation from the Last Mini-Batch for Consistency Regularization", CVPR 2022,
arXiv 2203.16172.

    L = CE(y_(t-1) and y_t, z_t of both batches) + a T^2 KL(softmax(z_(t-1) / T) || softmax(z_t(x_(t-1)) / T))

Each step sees the images of its own batch and those of the step before, which must be told now as they were then: half
of what is run coincides with the last mini-batch. z_(t-1) is what the student said of them a step ago, before that
step's update. The second time they are shown in another view. The cross-entropy is the mean over both halves.

As in the authors' code the two halves are run one after the other, so that each is normalised by statistics of its own,
and the last batch of an epoch is remembered into the next. The recipe's batch size is that of the new half: a step runs
twice as many images. The harness draws no batches that overlap; the method keeps the last batch's second view, labels
and logits instead. In the first step there is none, and only labels teach.

The authors' command line has no defaults for T and a; its default name of results says TP3_0.5, read as T = 3, a = 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, MethodSpec, NotNegative, Outputs, Positive, Reads, View, hookimpl

from .kd import kd_loss


class DLB(Method[None]):
    """Say of the last batch's images what was said of them a step ago."""

    name = "dlb"
    paper = (
        "Shen, Xu, Yang, Li, Guo, Self-Distillation from the Last Mini-Batch for Consistency Regularization, CVPR 2022"
    )
    # The second view of a batch is shown to the student a step later.
    reads = Reads(teachers="none", views=(View("recipe"), View("recipe", student=False)))
    terms = {"ce": "task", "dlb": "distill"}
    # Images are kept with their labels, not with their mixing.
    mixed_labels = "refuse"
    regime = "no_teacher"
    # The first step has no batch before it, and the last batch of an epoch may be smaller.
    capturable = False
    weight: NotNegative = 0.5
    temperature: Positive = 3.0

    def build(self, context: BuildContext) -> None:
        self.last: Mapping[str, Tensor] = {}

    def get_extra_state(self) -> dict[str, Tensor]:
        return dict(self.last)

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        self.last = dict(state)

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        if not self.last:
            return {"ce": batch.task_loss(student.logits), "dlb": student.logits.new_zeros(())}
        last = {name: tensor.to(student.logits.device) for name, tensor in self.last.items()}
        again = student.model.run(last["images"]).logits
        both, labels = torch.cat([again, student.logits]), torch.cat([last["targets"], batch.targets])
        return {
            "ce": batch.criterion(both, labels, None),
            "dlb": self.weight * kd_loss(again, last["logits"], self.temperature),
        }

    def after_step(self, batch: Batch, student: Outputs, teacher: None) -> None:
        kept = {"images": batch.views[1], "targets": batch.targets, "logits": student.logits}
        self.last = {name: tensor.detach().clone() for name, tensor in kept.items()}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DLB, revision=1)
