"""Wang, Yang, Wang, Wang, Xu, Huang, "ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge
Distillation via alpha-beta-Divergence", ICML 2025, arXiv 2505.04560.

    L = CE(y, z_s) + w D(p_t || p_s)
    D(p || q) = -1 / (a b) sum [p^a q^b - a / (a + b) p^(a + b) - b / (a + b) q^(a + b)]

p: softmax of the logits at temperature T; a, b: alpha and beta. The divergence spans KL (a, b = 1, 0), reverse KL
(0, 1), four times the squared Hellinger distance (0.5, 0.5) and others; a says how much classes with large errors
count, b how much those of which the student is sure. There is no factor T^2.

Where a, b or a + b is 0 the divergence is the limit of the formula. The authors' code has 1 / a or 1 / b there where
the limit has the square, which is the limit only at 1; the limits are followed here. Its script tries all alphas and
sums alpha + beta of a range, each as a training of its own; the defaults are those of its example (alpha = 0.8, beta =
0.3, w = 32 and T = 4, resnet56 to resnet20).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, MethodSpec, NotNegative, Outputs, Positive, hookimpl

from ._logits import LogitMethod


def _one_sided(log_p: Tensor, log_q: Tensor, power: float) -> Tensor:
    """1 / r^2 [p^r ln(p^r / q^r) - p^r + q^r] for the power r, by element."""
    p, q = (power * log_p).exp(), (power * log_q).exp()
    return (p * power * (log_p - log_q) - p + q) / power**2


def _divergence(log_p: Tensor, log_q: Tensor, alpha: float, beta: float) -> Tensor:
    """The summands of D(p || q), by element."""
    if alpha == 0 and beta == 0:
        return (log_p - log_q).square() / 2
    if beta == 0:
        return _one_sided(log_p, log_q, alpha)
    if alpha == 0:
        return _one_sided(log_q, log_p, beta)
    if alpha + beta == 0:
        difference = alpha * (log_q - log_p)
        return (difference + (-difference).exp() - 1) / alpha**2
    both = alpha + beta
    crossed = (alpha * log_p + beta * log_q).exp()
    return (alpha / both * (both * log_p).exp() + beta / both * (both * log_q).exp() - crossed) / (alpha * beta)


def abkd_loss(student_logits: Tensor, teacher_logits: Tensor, alpha: float, beta: float, temperature: float) -> Tensor:
    """D(p_t || p_s) without w. Logits [N, classes]; a scalar, the mean over the batch."""
    log_p = F.log_softmax(teacher_logits.detach() / temperature, dim=1)
    log_q = F.log_softmax(student_logits / temperature, dim=1)
    return _divergence(log_p, log_q, alpha, beta).sum(dim=1).mean()


class ABKD(LogitMethod):
    """Match softened probabilities by a divergence between KL and reverse KL."""

    name = "abkd"
    paper = "Wang, Yang, Wang, Wang, Xu, Huang, ABKD: Pursuing a Proper Allocation of the Probability Mass, ICML 2025"
    terms = {"ce": "task", "abkd": "distill"}
    ablations = {"kl": {"alpha": 1.0, "beta": 0.0}, "reverse_kl": {"alpha": 0.0, "beta": 1.0}}
    ce_weight: NotNegative = 1.0
    weight: NotNegative = 32.0
    alpha: NotNegative = 0.8
    beta: NotNegative = 0.3
    temperature: Positive = 4.0

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        numbers = (self.alpha, self.beta, self.temperature)
        abkd = self.mean_loss(lambda s, t, _: abkd_loss(s, t, *numbers), batch, student, teacher.logits)
        return {"ce": self.ce_weight * batch.task_loss(student.logits), "abkd": self.weight * abkd}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(ABKD, revision=1)
