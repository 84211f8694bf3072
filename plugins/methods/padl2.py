"""Zhang, Lan, Dai, Zeng, Bai, Chang, Wei, "Prime-Aware Adaptive Distillation", ECCV 2020, arXiv 2008.01458.

    l2:   L = CE(y, z_s) + w mean (e_t - e_s)^2
    pad:  L = CE(y, z_s) + w mean [ (e_t - e_s)^2 / (exp(v) + eps) + v ],   v = BN(V e_s)

e_s, e_t: embeddings of student and teacher; v: the logarithms of variances, one for each value of the embedding, which
a linear map V with batch normalisation guesses for each image and which train with the student. The means are over all
elements. An image whose embedding the student expects to miss counts less, and the more it counts ("prime") the better
it is matched. The method that the paper weighs so is the plain distance of embeddings, which trains the student first.

torchdistill's code is followed, which has the average from the authors' own code and reaches their number on ImageNet:
eps = 1e-6, w = 1, the plain distance over a whole training of 100 epochs, then 30 epochs at a constant learning rate of
0.002 from that student on. Both networks have embeddings of one width there. Here, where widths differ, a linear map
with batch normalisation, trained with the student, gives e_s the teacher's width; V reads the student's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Phase,
    Player,
    Positive,
    Reads,
    hookimpl,
)

from ._guided import CONSTANT


def padl2_loss(student_embedding: Tensor, teacher_embedding: Tensor, log_variance: Tensor, eps: float = 1e-6) -> Tensor:
    """The weighted distance without w, a scalar. All [N, D]; gradient flows into the variances too."""
    square = (teacher_embedding.detach() - student_embedding).square()
    return (square / (log_variance.exp() + eps) + log_variance).mean()


def _linear(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(before, after), nn.BatchNorm1d(after))


class PADL2(Method):
    """Match embeddings, then again with each distance over a variance that the student guesses.

    pad_share: how long the second phase is, beside the whole training of the first.
    """

    name = "padl2"
    paper = "Zhang, Lan, Dai, Zeng, Bai, Chang, Wei, Prime-Aware Adaptive Distillation, ECCV 2020"
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "l2": "distill", "padl2": "distill"}
    mixed_labels = "mix"
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 1.0
    eps: Positive = 1e-6
    pad_share: Positive = 0.3
    pad_lr: Positive = 0.002

    def build(self, context: BuildContext) -> None:
        own, its = context.student.embedding or 0, context.teacher.embedding or 0
        self.variances = _linear(own, its)
        self.aligned = nn.Identity() if own == its else _linear(own, its)

    def phases(self) -> Sequence[Phase]:
        parts = ("student", "method.aligned")
        guess = Player(parts=(*parts, "method.variances"), optimizer={"lr": self.pad_lr})
        return [
            Phase("l2", players=(Player(parts=parts),)),
            Phase("pad", fraction=self.pad_share, players=(guess,), recipe=CONSTANT),
        ]

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        own, its = self.aligned(student.embedding), teacher.embedding
        ce = self.ce_weight * batch.task_loss(student.logits)
        if batch.step.phase == "l2":
            return {"ce": ce, "l2": self.weight * F.mse_loss(own, its)}
        log_variance = self.variances(student.embedding)
        return {"ce": ce, "padl2": self.weight * padl2_loss(own, its, log_variance, self.eps)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(PADL2, revision=1)
