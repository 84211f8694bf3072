"""Lan, Zhu, Gong, "Knowledge Distillation by On-the-Fly Native Ensemble", NeurIPS 2018, arXiv 1806.04606.

    L = sum_k CE(y, z_k) + CE(y, z_e) + r(t) T^2 sum_k KL(softmax(z_e / T) || softmax(z_k / T))
    z_e = sum_k g_k z_k            g = softmax(ReLU(BN(W h)))

One network whose last stage is there m times, with a head each: branches that share what comes before, from whose
output h, averaged over places, a gate weighs them. The gated ensemble is the teacher of every branch. Training the
branches together, labels and all, costs little more than one.

The student is branch 1: it is what is ranked and deployed, as in the paper, and the ensemble (ONE-E there) is an output
beside it. The other branches are the deep ends of networks of the student's kind that were made for this; what such a
network has before its last stage is neither run nor trained. T = 3 and m = 3 as in the paper.

As in the authors' code no gradient flows into the ensemble through the divergence, and its weight rises over 80 (of
their 300) epochs, r(e) = exp(-5 (1 - min(e / 80, 1))^2). The 1e-7 that it adds to the ensemble's probabilities is left
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, cast

import torch
from pydantic import Field
from torch import Tensor, nn

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

from ._rampup import rampup
from .kd import kd_loss

# All branches are in memory at once.
MOST = 100
# The stage that branches share and start from; the deepest is each one's own.
SHARED = -2


class Gate(nn.Module):
    """How much each branch counts: maps [N, C, H, W] to shares [N, branches]."""

    def __init__(self, channels: int, branches: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, branches)
        self.norm = nn.BatchNorm1d(branches)

    def forward(self, maps: Tensor) -> Tensor:
        scores = self.linear(maps.mean(dim=(2, 3)))
        # One sample has no spread: what remains of it is the bias, but torch refuses it.
        alone = self.training and len(scores) == 1
        normalised = self.norm.bias.expand_as(scores) if alone else self.norm(scores)
        return torch.softmax(normalised.relu(), dim=1)


def gated(logits: Sequence[Tensor], shares: Tensor) -> Tensor:
    """The ensemble's logits [N, classes]. logits: [N, classes] of each branch; shares: [N, branches]."""
    return (torch.stack(list(logits), dim=1) * shares.unsqueeze(2)).sum(dim=1)


class Branches(nn.Module):
    """The student, the branches beside it and their gate: logits of the student and of the ensemble by name."""

    def __init__(self, student: StagedModel, others: Sequence[StagedModel], gate: Gate) -> None:
        super().__init__()
        self.student = student
        self.others = nn.ModuleList(others)
        self.gate = gate

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        outputs = self.student.run(images, taps=("stages",))
        shared = outputs.maps(SHARED)
        logits = [outputs.logits, *(deep_end(cast("StagedModel", other), shared) for other in self.others)]
        return {"student": outputs.logits, "ensemble": gated(logits, self.gate(shared))}


def deep_end(network: StagedModel, shared: Tensor) -> Tensor:
    """A branch's logits [N, classes] from the shared stage's maps."""
    return network.tail(network.num_stages + SHARED, shared)


class ONE(Method[None]):
    """Learn beside branches of one's own deep end from their gated ensemble.

    branches: m, the student's own among them. weight: of the divergence; the paper has 1.
    """

    name = "one"
    paper = "Lan, Zhu, Gong, Knowledge Distillation by On-the-Fly Native Ensemble, NeurIPS 2018"
    reads = Reads(teachers="none", taps=("stages",))
    terms = {"ce": "task", "branch_ce": "task", "one": "distill"}
    mixed_labels = "mix"
    regime = "no_teacher"
    ablations = {"no_rampup": {"rampup_epochs": 0}}
    branches: Annotated[int, Field(ge=2, le=MOST)] = 3
    weight: NotNegative = 1.0
    temperature: Positive = 3.0
    rampup_epochs: Annotated[int, Field(ge=0)] = 80

    def skip(self, context: BuildContext) -> str | None:
        name, stages = context.student.name, context.student.stages
        if len(stages) < 2:
            return f"needs at least two stages, and '{name}' declares {len(stages)}"
        if context.student.tokens:
            return f"needs stages with maps [C, H, W], and those of '{name}' are tokens"
        try:
            deep_end(context.student_model, torch.zeros(2, *stages[SHARED], device=context.device))
        except ValueError as error:
            return str(error)
        return None

    def build(self, context: BuildContext) -> None:
        self.others = nn.ModuleList(context.peer(f"branch{number}") for number in range(2, self.branches + 1))
        for other in self._others():
            for unused in other.sections()[:SHARED]:
                for parameter in unused:
                    parameter.requires_grad_(False)
        self.gate = Gate(context.student.stages[SHARED][0], self.branches)

    def _others(self) -> list[StagedModel]:
        return cast("list[StagedModel]", list(self.others))

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        shared = student.maps(SHARED)
        others = [deep_end(other, shared) for other in self._others()]
        ensemble = gated([student.logits, *others], self.gate(shared))
        taught = [kd_loss(own, ensemble, self.temperature) for own in (student.logits, *others)]
        weight = self.weight * rampup(batch.step.epoch, self.rampup_epochs)
        return {
            "ce": batch.task_loss(student.logits),
            "branch_ce": torch.stack([batch.task_loss(logits) for logits in (*others, ensemble)]).sum(),
            "one": weight * torch.stack(taught).sum(),
        }

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Branches:
        return Branches(student, self._others(), self.gate)

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        # Not the ensemble: its other members hold layers that nobody runs, and would be counted with them.
        return {"student": student}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(ONE, revision=1)
