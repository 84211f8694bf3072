"""Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018, arXiv 1706.00384.

    L_k = CE(y, z_k) + w / (K - 1) sum over l != k of KL(p_l || p_k)            p_k = softmax(z_k / T)

K networks that nobody trained before learn together, each from the labels and from what the others predict (equations
1 to 7). `dml_e`, the paper's other form, takes one KL divergence from the mean of the others' probabilities (equations
8 and 9); with two networks the two are the same. There is no temperature in the paper (T = 1), nor a weight.

Algorithm 1 updates the networks in turn, each against predictions made anew with what the turn before changed: the
default. Public implementations mostly run all networks once per batch and update them together, which is cheaper:
`updates = "together"`. Running a network again moves its running statistics of batch normalisation again.

The student is network 1 and what is ranked; the others and the mean of all their probabilities are outputs beside it.
Networks that differ start from different weights. Other papers have a large network as the peer, which is not trained
before either: `peer_model`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Pair,
    Phase,
    Player,
    Positive,
    Reads,
    StagedModel,
    Step,
    hookimpl,
    log_mean_probability,
)


def mutual_loss(logits: Tensor, others: Sequence[Tensor], temperature: float = 1.0, of_mean: bool = False) -> Tensor:
    """T^2 times the mean of KL(other || own) over the others, or of_mean: KL(mean of the others || own).

    Logits [N, classes] each; a scalar, the mean over the batch. No gradient flows into the others.
    """
    softened = [other.detach() / temperature for other in others]
    targets = [log_mean_probability(softened)] if of_mean else [other.log_softmax(dim=1) for other in softened]
    own = F.log_softmax(logits / temperature, dim=1)
    losses = [F.kl_div(own, target, reduction="batchmean", log_target=True) for target in targets]
    return torch.stack(losses).mean() * temperature**2


class DML(Method[None]):
    """Let untrained networks learn together from labels and from each other.

    peers: how many networks beside the student. peer_model: their architecture; None: the student's.
    updates: of the networks in turn, or together. of_mean: the form `dml_e`.
    """

    name = "dml"
    paper = "Zhang, Xiang, Hospedales, Lu, Deep Mutual Learning, CVPR 2018"
    reads = Reads(teachers="none")
    terms = {"ce": "task", "kl": "distill", "peer_ce": "player", "peer_kl": "player"}
    mixed_labels = "mix"
    regime = "no_teacher"
    ablations = {"two_peers": {"peers": 2}, "two_peers_mean": {"peers": 2, "of_mean": True}}
    peers: Annotated[int, Field(ge=1)] = 1
    peer_model: str | None = None
    weight: NotNegative = 1.0
    temperature: Positive = 1.0
    updates: Literal["in_turn", "together"] = "in_turn"
    of_mean: bool = False

    def networks(self, pair: Pair) -> Sequence[str]:
        return [self.peer_model] if self.peer_model is not None else []

    def build(self, context: BuildContext) -> None:
        self.peer = nn.ModuleList(context.peer(f"peer{number}", self.peer_model) for number in range(1, self.peers + 1))

    def _peers(self) -> Iterable[StagedModel]:
        return cast("Iterable[StagedModel]", self.peer)

    def phases(self) -> Sequence[Phase]:
        peers = [Player(f"peer{k + 1}", parts=(f"method.peer.{k}",)) for k in range(self.peers)]
        return [Phase(players=(Player("main", parts=("student",)), *peers))]

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        logits = [student.logits, *(peer.run(batch.images).logits.float() for peer in self._peers())]
        ce = [batch.task_loss(z) for z in logits]
        kl = [
            self.weight * mutual_loss(z, [*logits[:k], *logits[k + 1 :]], self.temperature, self.of_mean)
            for k, z in enumerate(logits)
        ]
        return {
            "ce": ce[0],
            "kl": kl[0],
            "peer_ce": torch.stack(ce[1:]).sum(),
            "peer_kl": torch.stack(kl[1:]).sum(),
        }

    def update(self, step: Step) -> None:
        if self.updates == "together":
            super().update(step)
            return
        step.zero_grad()
        step.backward(step.total("task", "distill"))
        step.apply("main")
        for k in range(self.peers):
            step.losses = step.recompute()
            step.zero_grad()
            step.backward(step.total("player"))  # of all peers: none of their terms reaches another network
            step.apply(f"peer{k + 1}")

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Cohort:
        return Cohort([student, *self._peers()])

    def deployables(self, student: StagedModel, teachers: Sequence[StagedModel]) -> Mapping[str, nn.Module]:
        return self.predictor(student, teachers).networks()


class Cohort(nn.Module):
    """Networks that learnt together; their logits by name, and the logarithm of their mean probability."""

    def __init__(self, members: Sequence[StagedModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = [member(images).float() for member in self.members]
        named = dict(zip(self._names(), logits, strict=True))
        return named | {"ensemble": log_mean_probability(logits)}

    def _names(self) -> list[str]:
        return ["student", *(f"peer{k}" for k in range(1, len(self.members)))]

    def networks(self) -> dict[str, nn.Module]:
        """By the same names, the network that gives that output and computes nothing else."""
        return dict(zip(self._names(), self.members, strict=True)) | {"ensemble": CohortMean(self.members)}


class CohortMean(nn.Module):
    """The logarithm of the members' mean probability."""

    def __init__(self, members: nn.ModuleList) -> None:
        super().__init__()
        self.members = members

    def forward(self, images: Tensor) -> Tensor:
        return log_mean_probability([member(images).float() for member in self.members])


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(DML, revision=1)
