"""Zhang, Xiang, Hospedales, Lu, "Deep Mutual Learning", CVPR 2018, arXiv 1706.00384.

    L_k = CE(y, z_k) + w / (K - 1) sum over l != k of KL(p_l || p_k)            p_k = softmax(z_k / T)

K networks that nobody trained before learn together, each from the labels and from what the others predict (equations
1 to 7). There is no temperature in the paper (T = 1), nor a weight. With more than two networks there are three forms:

    of_others = "mean"  the paper's equation 7, with 1 / (K - 1). The default.
    of_others = "sum"   the authors' code, which adds the divergences up: at K = 3 twice the pull.
    of_mean = true      `dml_e`, the paper's other form: one divergence from the mean of the others' probabilities
                        (equations 8 and 9), whatever `of_others` says.

With two networks the three are the same.

Algorithm 1 updates the networks in turn, each on the same batch, against predictions made anew with what the turn
before changed: the default. The authors' code goes in turn too, but takes a new batch for each turn, which is not
offered. Many other implementations run all networks once per batch and update them together, which is cheaper: `updates
= "together"`. Running a network again moves its running statistics of batch normalisation again. The authors' code adds
1e-8 within the logarithm, which is left out here.

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
    Neutral,
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

# All peers are in memory at once.
MOST = 100

OfOthers = Literal["mean", "sum"]


def mutual_loss(
    logits: Tensor,
    others: Sequence[Tensor],
    temperature: float = 1.0,
    of_mean: bool = False,
    of_others: OfOthers = "mean",
) -> Tensor:
    """T^2 times the mean or sum of KL(other || own) over the others, or of_mean: KL(mean of the others || own).

    Logits [N, classes] each; a scalar, the mean over the batch. No gradient flows into the others.
    """
    softened = [other.detach() / temperature for other in others]
    targets = [log_mean_probability(softened)] if of_mean else [other.log_softmax(dim=1) for other in softened]
    own = F.log_softmax(logits / temperature, dim=1)
    losses = torch.stack([F.kl_div(own, target, reduction="batchmean", log_target=True) for target in targets])
    return (losses.sum() if of_others == "sum" else losses.mean()) * temperature**2


class DML(Method[None]):
    """Let untrained networks learn together from labels and from each other.

    peers: how many networks beside the student. peer_model: their architecture; None: the student's.
    updates: of the networks in turn, or together. of_mean: the form `dml_e`. of_others: mean or sum of the divergences.
    """

    name = "dml"
    paper = "Zhang, Xiang, Hospedales, Lu, Deep Mutual Learning, CVPR 2018"
    reads = Reads(teachers="none")
    terms = {"ce": "task", "kl": "distill", "peer_ce": "player", "peer_kl": "player"}
    mixed_labels = "mix"
    regime = "no_teacher"
    ablations = {
        "two_peers": {"peers": 2},
        "two_peers_sum": {"peers": 2, "of_others": "sum"},
        "two_peers_mean": {"peers": 2, "of_mean": True},
    }
    peers: Annotated[int, Field(ge=1, le=MOST)] = 1
    peer_model: str | None = None
    weight: NotNegative = 1.0
    temperature: Positive = 1.0
    updates: Literal["in_turn", "together"] = "in_turn"
    of_mean: bool = False
    of_others: Annotated[OfOthers, Neutral("mean")] = "mean"

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
        others = [[*logits[:k], *logits[k + 1 :]] for k in range(len(logits))]
        kl = [
            self.weight * mutual_loss(z, rest, self.temperature, self.of_mean, self.of_others)
            for z, rest in zip(logits, others, strict=True)
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
