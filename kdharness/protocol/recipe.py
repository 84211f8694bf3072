"""The recipe: how a network is trained, shared by all methods of a benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from kdharness.api.parameters import Neutral


class Recipe(BaseModel):
    """How a network is trained.

    epochs: passes over the training data.
    batch_size: the last batch may be smaller.
    optimizer: with `momentum` and `nesterov` for "sgd".
    lr: learning rate after the warm-up. It changes between epochs only.
    weight_decay: of every trained parameter, norms and biases too, as in the standard CIFAR recipe.
    schedule: "multistep" multiplies lr by `gamma` at each milestone; "cosine" brings it to 0.
    milestones: shares of the run, so that a shorter run keeps the schedule's shape.
    warmup_epochs: of linear rise.
    augmentation: the name of an installed view; "standard" is the dataset's own.
    precision: "bf16" is autocast for the networks, with losses in float32; "tf32" is float32 whose products are rounded
        to TF32, where the device has it.
    channels_last: the memory layout of images and convolutions.
    mixup: alpha of mixup's Beta distribution (Zhang et al., ICLR 2018); 0: off.
    cutmix: the same of cutmix (Yun et al., ICCV 2019). Where both are on, each mixes half of the batches.
    mixing_probability: the share of batches that are mixed.
    mixing_off_epoch: from this epoch on (from 0, of the whole training) no batch is mixed.
    label_smoothing: epsilon; labels y become (1 - epsilon) y + epsilon / classes.
    loss: on labels: "ce" is cross-entropy, "bce" the mean of binary cross-entropies over classes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(ge=1)
    batch_size: int = Field(64, ge=2)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = Field(0.05, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["constant", "cosine", "multistep"] = "multistep"
    milestones: tuple[float, ...] = (0.625, 0.75, 0.875)
    gamma: float = Field(0.1, gt=0)
    warmup_epochs: float = Field(0.0, ge=0)
    augmentation: str = "standard"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    mixup: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.0
    cutmix: Annotated[float, Field(ge=0), Neutral(0.0)] = 0.0
    mixing_probability: Annotated[float, Field(ge=0, le=1), Neutral(1.0)] = 1.0
    mixing_off_epoch: Annotated[Annotated[int, Field(ge=0)] | None, Neutral(None)] = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1), Neutral(0.0)] = 0.0
    loss: Annotated[Literal["ce", "bce"], Neutral("ce")] = "ce"

    @property
    def mixes(self) -> bool:
        """Whether images are mixed in some epoch."""
        return bool((self.mixup or self.cutmix) and self.mixing_probability) and self.mixing_off_epoch != 0

    def replaced(self, changes: Mapping[str, Any]) -> Self:
        """This recipe with some fields replaced, validated again."""
        return type(self).model_validate({**self.model_dump(), **changes}) if changes else self

    def lr_at(self, epoch: int, epochs: int) -> float:
        """The learning rate of epoch number `epoch` (from 0) of a phase of `epochs` epochs."""
        share = epoch / epochs
        rise = min(1.0, (epoch + 1) / (self.warmup_epochs + 1)) if self.warmup_epochs else 1.0
        if self.schedule == "cosine":
            return self.lr * rise * 0.5 * (1 + math.cos(math.pi * share))
        if self.schedule == "multistep":
            return self.lr * rise * self.gamma ** sum(share >= m for m in self.milestones)
        return self.lr * rise
