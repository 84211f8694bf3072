"""The task loss of hard, smoothed and mixed labels, against torch's own and against the formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdharness.api import Batch, StepInfo, TaskLoss

CLASSES = 5
LOGITS = torch.randn(6, CLASSES, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 4, 2, 2, 1, 3])
ONE_HOT = torch.eye(CLASSES)[TARGETS]
SOFT = 0.7 * ONE_HOT + 0.3 * torch.eye(CLASSES)[TARGETS.flip(0)]
INFO = StepInfo("train", 0, 1, torch.tensor(0.5))


CROSS_ENTROPY = TaskLoss()


def batch(criterion: TaskLoss = CROSS_ENTROPY, soft: Tensor | None = None) -> Batch:
    images = torch.zeros(6, 3, 4, 4)
    return Batch(images, TARGETS, INFO, views=(images,), soft_targets=soft, criterion=criterion)


def test_without_mixing_and_smoothing_it_is_torchs_cross_entropy_bit_for_bit() -> None:
    assert torch.equal(batch().task_loss(LOGITS), F.cross_entropy(LOGITS, TARGETS))


@pytest.mark.parametrize("soft", [None, SOFT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_by_its_formula(soft: Tensor | None, smoothing: float) -> None:
    labels = ONE_HOT if soft is None else soft
    expected = -((1 - smoothing) * labels + smoothing / CLASSES).mul(LOGITS.log_softmax(1)).sum(1)
    one = batch(TaskLoss("ce", smoothing), soft)
    torch.testing.assert_close(one.task_loss(LOGITS, reduction="none"), expected)
    torch.testing.assert_close(one.task_loss(LOGITS), expected.mean())


@pytest.mark.parametrize("soft", [None, SOFT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_binary_cross_entropy_is_torchs_of_smoothed_probabilities(soft: Tensor | None, smoothing: float) -> None:
    off, on = smoothing / CLASSES, 1 - smoothing + smoothing / CLASSES
    labels = torch.full((6, CLASSES), off).scatter(1, TARGETS[:, None], on)
    if soft is not None:
        labels = (on - off) * soft + off
    one = batch(TaskLoss("bce", smoothing), soft)
    torch.testing.assert_close(one.task_loss(LOGITS), F.binary_cross_entropy_with_logits(LOGITS, labels))
    torch.testing.assert_close(one.task_loss(LOGITS, "none").mean(), one.task_loss(LOGITS))
    assert one.task_loss(LOGITS, "none").shape == (6,)


def test_soft_labels_that_are_one_hot_are_hard_ones() -> None:
    for criterion in (TaskLoss("ce", 0.2), TaskLoss("bce", 0.2)):
        torch.testing.assert_close(batch(criterion, ONE_HOT).task_loss(LOGITS), batch(criterion).task_loss(LOGITS))
