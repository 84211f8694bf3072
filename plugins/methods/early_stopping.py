"""Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade, Springer 1998: no distillation, the
student of that epoch which does best on training images held out.

    L = CE(y, z_s) on the images that are not held out

A network fits right labels before wrong ones (Li, Soltanolkotabi, Oymak, AISTATS 2020), so that stopping is a defence
against wrong labels, and a baseline for methods that claim one. The held-out images have the labels that the student
sees: where those are partly wrong, so are these.

Training goes through all epochs with the recipe's schedule; the best epoch is kept, the earliest of equal ones. A
benchmark's `[evaluation] validation` does the same to all methods; here one method pays with images, and stands in one
table with those that train on all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from kdharness.api import (
    Batch,
    BuildContext,
    EpochContext,
    Method,
    MethodSpec,
    Outputs,
    Phase,
    Player,
    Reads,
    StagedModel,
    hookimpl,
)


class EarlyStopping(Method[None]):
    """The student of the epoch that is best on training images held out.

    held_out: their share, drawn anew for each seed. criterion: what is best: most right labels, or the least loss.
    """

    name = "early_stopping"
    paper = "Prechelt, Early Stopping - But When?, Neural Networks: Tricks of the Trade, 1998"
    reads = Reads(teachers="none")
    terms = {"ce": "task"}
    mixed_labels = "mix"
    regime = "no_teacher"
    held_out: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] = 0.1
    criterion: Literal["accuracy", "loss"] = "accuracy"

    def build(self, context: BuildContext) -> None:
        count = len(context.targets)
        order = torch.randperm(count, generator=context.generator("held_out"))
        held_out = round(self.held_out * count)
        self.register_buffer("chooses", order[:held_out].sort().values)
        self.register_buffer("trains", order[held_out:].sort().values)
        self.register_buffer("score", torch.tensor(-torch.inf))
        self.register_buffer("best_epoch", torch.tensor(0))
        self.best = context.peer("best")

    def phases(self) -> Sequence[Phase]:
        return [Phase(players=(Player(parts=("student",)),))]

    def select(self, epoch: EpochContext) -> Tensor | None:
        return self.get_buffer("trains")

    def losses(self, batch: Batch, student: Outputs, teacher: None) -> dict[str, Tensor]:
        return {"ce": batch.task_loss(student.logits)}

    def after_epoch(self, epoch: EpochContext) -> None:
        chooses = self.get_buffer("chooses")
        logits, targets = epoch.predict(chooses), epoch.targets[chooses.to(epoch.targets.device)]
        score = self._score(logits.float(), targets.to(logits.device))
        if score > self.get_buffer("score"):
            self.get_buffer("score").copy_(score)
            self.get_buffer("best_epoch").fill_(epoch.epoch + 1)
            self.best.load_state_dict(epoch.student.state_dict())

    def _score(self, logits: Tensor, targets: Tensor) -> Tensor:
        """More is better."""
        if self.criterion == "loss":
            return -F.cross_entropy(logits, targets)
        return (logits.argmax(1) == targets).float().mean()

    def predictor(self, student: StagedModel, teachers: Sequence[StagedModel]) -> StagedModel:
        return self.best

    def measurements(self) -> Mapping[str, float]:
        """The epoch that was kept, counted from 1."""
        return {"best_epoch": float(self.get_buffer("best_epoch"))}


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    yield MethodSpec.of(EarlyStopping, revision=1)
