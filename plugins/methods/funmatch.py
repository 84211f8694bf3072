"""Beyer, Zhai, Royer, Markeeva, Anil, Kolesnikov, "Knowledge distillation: A good teacher is patient and consistent",
CVPR 2022, arXiv 2106.05237: function matching.

    L = T^2 KL(softmax(z_t(x~) / T) || softmax(z_s(x~) / T))            x~ = lambda x_i + (1 - lambda) x_j

Both networks see the very same image, mixed with another one, lambda uniform in [0, 1], in every batch of the training;
labels are not read. The method asks for its mixing itself, mixup with alpha = 1, and replaces what the recipe mixes;
smoothing and the loss on labels have no part in it. The authors' configuration for ImageNet has T = 1; those for small
data sets have 1 to 10.

The paper's other half is patience (1200 epochs in that configuration): `length` stretches the recipe's, and its
schedule, for this method alone. Its crops (Inception's), optimiser and rates are the recipe's affair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from torch import Tensor

from kdharness.api import Batch, Method, MethodSpec, Neutral, Outputs, Phase, Positive, hookimpl

from .kd import kd_loss

# Of every batch, to the end.
MIXING = {"mixup": 1.0, "cutmix": 0.0, "mixing_probability": 1.0, "mixing_off_epoch": None}


class FunMatch(Method):
    """Be the teacher's function on mixed images, without labels.

    length: how many times the recipe's epochs it trains.
    """

    name = "funmatch"
    paper = "Beyer et al., Knowledge distillation: A good teacher is patient and consistent, CVPR 2022"
    terms = {"funmatch": "distill"}
    mixed_labels = "mix"
    temperature: Positive = 1.0
    length: Annotated[Positive, Neutral(1.0)] = 1.0

    def phases(self) -> Sequence[Phase]:
        return [Phase(fraction=self.length, recipe=MIXING)]

    def losses(self, batch: Batch, student: Outputs, teacher: Outputs) -> dict[str, Tensor]:
        return {"funmatch": kd_loss(student.logits, teacher.logits, self.temperature)}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(FunMatch, revision=1)
