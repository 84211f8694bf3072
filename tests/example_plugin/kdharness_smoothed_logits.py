"""Kim et al., "Comparing Kullback-Leibler Divergence and Mean Squared Error Loss", IJCAI 2021: match the logits."""

import torch.nn.functional as F

from kdharness.api import Method, MethodSpec, hookimpl


class SmoothedLogits(Method):
    """Match the teacher's logits, beside smoothed labels."""

    name = "smoothed_logits"
    paper = "Kim, Oh, Kim, Cho, Yun, Comparing KL Divergence and MSE Loss in Knowledge Distillation, IJCAI 2021"
    terms = {"ce": "task", "mse": "distill"}
    weight: float = 0.1
    smoothing: float = 0.05

    def losses(self, batch, student, teacher):
        return {
            "ce": F.cross_entropy(student.logits, batch.targets, label_smoothing=self.smoothing),
            "mse": self.weight * F.mse_loss(student.logits, teacher.logits),
        }


@hookimpl
def kdharness_methods():
    return [MethodSpec.of(SmoothedLogits)]
