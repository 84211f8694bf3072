"""Shen, Savvides, "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks", arXiv
2009.08453.

    L = -sum_c p_c log softmax(z_s)_c + L_D(z_s, mean_k z_k)          p = mean_k softmax(z_k)

z_k: logits of teacher k; L_D: the loss of one discriminator on logits (`_discriminators`). Against MEAL: all teachers
for every batch, final outputs only, a student that starts from its weights trained on labels, no weight decay, and a
discriminator that shrinks by 8 (1000 -> 125 -> 15 -> 2). It is `meal` with other defaults.

The student starts from the plain student of the same seed, a cell of its own (the paper's from a stronger published
one), and then trains for the whole recipe again, so that it has seen twice the epochs of `vanilla`. The paper's
learning rate is 0.01, then 0.001 for the second half; here 0.01 with the recipe's schedule. The published code means
the discriminator to have a rate of 0.0001, but gives it the student's each epoch; the default is what it did.

Its forms are parameters that `meal` has: `cutmix=1` mixes each batch and asks the teachers about the mixed images, as
the code's option does; `discriminator_input=probabilities` is what the code of FKD, the later form from stored
answers, shows D. Its storing of answers by crop is not here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from kdharness.api import MethodSpec, NotNegative, Positive, hookimpl

from .meal import MEAL


class MEALv2(MEAL):
    """Match the mean probability of several teachers, from a trained student on."""

    name = "meal_v2"
    paper = "Shen, Savvides, MEAL V2, arXiv 2009.08453, 2020"
    ablations = {
        "from_scratch": {"warm_start": False, "lr": None},
        "cutmix": {"cutmix": 1.0},
        "probabilities": {"discriminator_input": "probabilities"},
    }
    stage_weights: tuple[NotNegative, ...] = (1.0,)
    intermediate: bool = False
    discriminator_shrink: Annotated[int, Field(ge=1)] = 8
    discriminator_lr: Positive | None = None
    teacher_choice: Literal["random", "mean_probability", "mean_logits"] = "mean_probability"
    warm_start: bool = True
    lr: Positive | None = 0.01
    weight_decay: NotNegative | None = 0.0


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(MEALv2, revision=2)
