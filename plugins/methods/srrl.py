"""Yang, Martinez, Bulat, Tzimiropoulos, "Knowledge Distillation via Softmax Regression Representation Learning", ICLR
2021.

    L = CE(y, z_s) + alpha || a - e_t ||^2 + beta || W_t a - W_t e_t ||^2          averaged over all elements
    a = ReLU(BN(W e_s))

e_s, e_t: pooled embeddings of student and teacher; W: a trained linear map without bias; W_t: the teacher's classifier,
with its bias, which is not trained. W_t e_t are the teacher's logits. The second term weighs a difference of embeddings
by what it changes in the teacher's answer.

The authors' code (ImageNet) takes alpha = beta = 1, which is followed, and applies W, BN and ReLU to the last map
before it is pooled. SimKD's code, whose CIFAR-100 numbers are quoted for this method, applies them to the pooled
embedding, as here; it adds KD with weight 1, which the authors do not. A third implementation (cls_KD) takes beta = 5.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.api import (
    Batch,
    BuildContext,
    Method,
    MethodSpec,
    NotNegative,
    Outputs,
    Reads,
    hookimpl,
    run_frozen,
)


def srrl_loss(
    student_embedding: Tensor,
    teacher_embedding: Tensor,
    student_logits: Tensor,
    teacher_logits: Tensor,
    feature_weight: float,
    logit_weight: float,
) -> Tensor:
    """Both terms, a scalar. student_embedding: a, [N, D] as the teacher's; student_logits: W_t a, [N, classes]."""
    feature = F.mse_loss(student_embedding, teacher_embedding.detach())
    logit = F.mse_loss(student_logits, teacher_logits.detach())
    return feature_weight * feature + logit_weight * logit


class SRRL(Method):
    """Match embeddings, and what the teacher's classifier makes of them.

    feature_weight: alpha. logit_weight: beta.
    """

    name = "srrl"
    paper = (
        "Yang, Martinez, Bulat, Tzimiropoulos, Knowledge Distillation via Softmax Regression Representation Learning, "
        "ICLR 2021"
    )
    reads = Reads(taps=("embedding",))
    terms = {"ce": "task", "srrl": "distill"}
    mixed_labels = "mix"
    ablations = {"features_only": {"logit_weight": 0.0}, "logits_only": {"feature_weight": 0.0}}
    ce_weight: NotNegative = 1.0
    feature_weight: NotNegative = 1.0
    logit_weight: NotNegative = 1.0

    def build(self, context: BuildContext) -> None:
        width = context.teacher.embedding or 0
        self.adapter = nn.Sequential(
            nn.Linear(context.student.embedding or 0, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()
        )

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        adapted, wanted = self.adapter(student.embedding), teacher.embedding
        classify = teacher.model.classifier
        answers = run_frozen(classify, lambda: (classify(adapted), classify(wanted)))
        return {
            "ce": self.ce_weight * batch.task_loss(student.logits),
            "srrl": srrl_loss(adapted, wanted, *answers, self.feature_weight, self.logit_weight),
        }


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(SRRL, revision=1)
