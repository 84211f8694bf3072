"""The recipe: how a network is trained, shared by all methods of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from kdharness.api.parameters import Neutral

# Of epochs, images and repeats: what is larger is a slip of the finger, and fits no number of torch's.
MOST = 10**9

# What is larger is no factor, rate or exponent of any recipe, and soon not a number of float32.
LARGEST = 1e4

# Of a batch, which has so many times its images.
MOST_REPEATS = 1000

# Of the epochs: a milestone of 150 is none of any run.
Share = Annotated[float, Field(gt=0, lt=1)]


class Recipe(BaseModel):
    """How a network is trained.

    epochs: passes over the training data.
    batch_size: the last batch may be smaller.
    optimizer: name of an installed optimiser, which says whether it reads `momentum` and `nesterov`.
    lr: learning rate after the warm-up.
    weight_decay: of every trained parameter, norms and biases too, as in the standard CIFAR recipe.
    schedule: "multistep" multiplies lr by `gamma` at each milestone; "cosine" brings it to `min_lr`.
    milestones: shares of the run, so that a shorter run keeps the schedule's shape.
    warmup_epochs: of linear rise.
    schedule_per: whether the learning rate changes between epochs only, or before each step.
    min_lr: the learning rate does not fall below it, but for the warm-up.
    clip_norm: the most that the norm of a player's whole gradient may be; 0 for no limit.
    decay_norms_and_biases: False: `weight_decay` spares norms, biases and all that has one dimension.
    repeats: how often each image stands in its batch, each time under draws of its own (Hoffer et al., CVPR 2020): a
        batch has so many times `batch_size` images, and an epoch as many steps as without.
    ema_decay: of the moving average of all weights, by step; 0: none.
    evaluate: whether the main output is that of the last weights or of the averaged ones.
    augmentation: the name of an installed view; "standard" is the dataset's own.
    precision: "bf16" is autocast for the networks, with losses in float32; "tf32" is float32 whose products are rounded
        to TF32, where the device has it.
    channels_last: the memory layout of images and convolutions.
    mixup: alpha of mixup's Beta distribution (Zhang et al., ICLR 2018); 0: off.
    cutmix: the same of cutmix (Yun et al., ICCV 2019). Where both are on, each mixes half of the batches.
    mixing_probability: the share of batches that are mixed.
    mixing_off_epoch: from this epoch on (from 0, of the whole training) no batch is mixed.
    label_smoothing: epsilon; labels y become (1 - epsilon) y + epsilon / classes.
    teacher_outputs: "table": what teachers say of a picture is a row of a table, made in a batch that is the same for
        every student, and so no matter which pictures a student sees beside it; "auto": it is what they say of each
        batch as it is, whether they run or a table that equals it bit for bit is read.
    loss: on labels: "ce" is cross-entropy, "bce" the mean of binary cross-entropies over classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(ge=1, le=MOST)
    batch_size: int = Field(64, ge=2, le=MOST)
    optimizer: str = "sgd"
    lr: float = Field(0.05, gt=0, le=LARGEST)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0, le=LARGEST)
    schedule: Literal["constant", "cosine", "multistep"] = "multistep"
    milestones: tuple[Share, ...] = (0.625, 0.75, 0.875)
    gamma: float = Field(0.1, gt=0, le=1)
    warmup_epochs: float = Field(0.0, ge=0, le=MOST)
    augmentation: str = "standard"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    mixup: Annotated[float, Field(ge=0, le=LARGEST), Neutral(0.0)] = 0.0
    cutmix: Annotated[float, Field(ge=0, le=LARGEST), Neutral(0.0)] = 0.0
    mixing_probability: Annotated[float, Field(ge=0, le=1), Neutral(1.0)] = 1.0
    mixing_off_epoch: Annotated[Annotated[int, Field(ge=0, le=MOST)] | None, Neutral(None)] = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    loss: Annotated[Literal["ce", "bce"], Neutral("ce")] = "ce"
    schedule_per: Annotated[Literal["epoch", "step"], Neutral("epoch")] = "epoch"
    min_lr: Annotated[float, Field(ge=0, le=LARGEST), Neutral(0.0)] = 0.0
    clip_norm: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.0
    decay_norms_and_biases: Annotated[bool, Neutral(True)] = True
    repeats: Annotated[int, Field(ge=1, le=MOST_REPEATS), Neutral(1)] = 1
    ema_decay: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    evaluate: Annotated[Literal["last", "ema"], Neutral("last")] = "last"
    teacher_outputs: Annotated[Literal["auto", "table"], Neutral("auto")] = "auto"

    @field_validator("milestones")
    @classmethod
    def _rise(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(value)):
            raise ValueError("milestones come in their order, each once")
        return value

    @field_validator("evaluate")
    @classmethod
    def _is_there(cls, value: str, info: ValidationInfo) -> str:
        if value == "ema" and info.data.get("ema_decay") == 0:
            raise ValueError("no weights are averaged: ema_decay is 0")
        return value

    @property
    def contradiction(self) -> str:
        """Which fields have no meaning beside each other in a network's whole training; "" for none.

        Of a phase this says nothing: it may have a lower rate than the recipe, and be shorter than its warm-up.
        """
        if self.min_lr > self.lr:
            return f"min_lr = {self.min_lr:g} is above lr = {self.lr:g}"
        if self.warmup_epochs > self.epochs:
            return f"warmup_epochs = {self.warmup_epochs:g} is longer than the run, which has epochs = {self.epochs}"
        if self.teacher_outputs == "table" and self.mixes:
            return "teacher_outputs = 'table': mixup and cutmix make pictures that no table has"
        return ""

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in some epoch."""
        return bool((self.mixup or self.cutmix) and self.mixing_probability) and self.mixing_off_epoch != 0

    def replaced(self, changes: Mapping[str, Any]) -> Self:
        """This recipe with some fields replaced, validated again."""
        return type(self).model_validate({**self.model_dump(), **changes}) if changes else self

    def lr_at(self, epoch: int, epochs: int, step: int = 0, steps: int = 1) -> float:
        """The learning rate of a step: number `step` (from 0) of the `steps` of epoch number `epoch` of `epochs`.

        With e the epochs done, and u the epochs between two changes (1, or 1 / steps), the warm-up's factor is
        (e + u) / (warmup_epochs + u), and at most 1; the schedule itself begins with the first epoch, not after it.
        """
        unit = 1 / steps if self.schedule_per == "step" else 1.0
        done = epoch + step / steps if self.schedule_per == "step" else epoch
        share = done / epochs
        rise = min(1.0, (done + unit) / (self.warmup_epochs + unit)) if self.warmup_epochs else 1.0
        least = min(self.min_lr, self.lr)
        if self.schedule == "cosine":
            return (self.lr - least) * rise * 0.5 * (1 + math.cos(math.pi * share)) + least * rise
        if self.schedule == "multistep":
            return max(self.lr * rise * self.gamma ** sum(share >= m for m in self.milestones), least * rise)
        return self.lr * rise
