"""Reed, Lee, Anguelov, Szegedy, Erhan, Rabinovich, "Training Deep Neural Networks on Noisy Labels with Bootstrapping",
ICLR 2015 workshop, arXiv 1412.6596.

    soft:  L = -sum_k (b y_k + (1 - b) q_k) log q_k          hard:  L = -sum_k (b y_k + (1 - b) z_k) log q_k

y: labels; q = softmax(z_s), what the student itself predicts; z_k = 1 where k is the most probable class. Labels that
the student does not believe count less. With b = 1 it is `vanilla`.

As in the paper, gradient flows through both q of the soft form, which adds (1 - b) times the entropy of q to b times
the cross-entropy; some implementations hold the target q fixed. The paper's b on MNIST is 0.95 for soft, 0.8 for hard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Outputs, Reads, hookimpl

PUBLISHED_BETA = {"soft": 0.95, "hard": 0.8}


def own_target_loss(logits: Tensor, hard: bool) -> Tensor:
    """-sum_k q_k log q_k, or hard: -log q_k of the most probable k. Logits [N, classes]; a mean over the batch."""
    if hard:
        return F.cross_entropy(logits, logits.argmax(1))
    log_q = logits.log_softmax(1)
    return -(log_q.exp() * log_q).sum(1).mean()


class Bootstrapping(Method[None]):
    """Trust labels less where the student itself predicts otherwise.

    kind: "soft": the probabilities of the student; "hard": its most probable class.
    beta: b; None: the paper's for that kind.
    """

    name = "bootstrapping"
    paper = "Reed et al., Training Deep Neural Networks on Noisy Labels with Bootstrapping, ICLR 2015 workshop"
    reads = Reads(teachers="none")
    terms = {"ce": "task", "bootstrapping": "distill"}
    mixed_labels = "mix"
    regime = "no_teacher"
    ablations = {"hard": {"kind": "hard"}}
    kind: Literal["soft", "hard"] = "soft"
    beta: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        beta = PUBLISHED_BETA[self.kind] if self.beta is None else self.beta
        return {
            "ce": beta * batch.task_loss(student.logits),
            "bootstrapping": (1 - beta) * own_target_loss(student.logits, self.kind == "hard"),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(Bootstrapping, revision=1)
