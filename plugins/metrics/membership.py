"""Membership inference by a threshold on the loss, after Yeom, Giacomelli, Fredrikson, Jha, "Privacy Risk in Machine
Learning", CSF 2018: how much better than chance it can be told whether an image was in the private training data.

    advantage = TPR - FPR,   an image counts as a member when  -log p(label) <= threshold

Members are the scenario's private images, non-members the test images; 0 is chance, 1 certainty. Yeom et al. take the
mean training loss as the threshold; here it is the one with the largest advantage on one half of the images, scored on
the other half, and the other way round, so that no image chooses the threshold that judges it. The 95 % interval is
Newcombe's hybrid score interval for a difference of two proportions (Statistics in Medicine 17, 1998, method 10); it
takes the images as independent and says nothing of other seeds.

It is a lower bound on what an attacker can learn: stronger attacks train shadow networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kdharness.api import Evaluation, MetricSpec, Predictions, hookimpl

Losses = NDArray[np.float64]


def best_threshold(members: Losses, others: Losses) -> float:
    """The loss below which members exceed non-members most, halfway to the next larger one; minus infinity where none
    helps.
    """
    candidates = np.unique(np.concatenate([members, others]))
    true_rate = np.searchsorted(np.sort(members), candidates, side="right") / len(members)
    false_rate = np.searchsorted(np.sort(others), candidates, side="right") / len(others)
    best = int(np.argmax(true_rate - false_rate))
    if true_rate[best] <= false_rate[best]:
        return -math.inf
    return float(candidates[best] + candidates[best + 1]) / 2  # the largest loss has both rates 1: it is never best


def wilson(hits: int, count: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Wilson's score interval for a proportion."""
    share, square = hits / count, z * z
    centre = (share + square / (2 * count)) / (1 + square / count)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count * count)) / (1 + square / count)
    return centre - half, centre + half


def difference(hits: int, count: int, false_hits: int, false_count: int) -> tuple[float, float, float]:
    """hits / count - false_hits / false_count, and Newcombe's 95 % interval."""
    share, false_share = hits / count, false_hits / false_count
    low, high = wilson(hits, count)
    false_low, false_high = wilson(false_hits, false_count)
    gap = share - false_share
    below = math.hypot(share - low, false_high - false_share)
    above = math.hypot(high - share, false_share - false_low)
    return gap, max(-1.0, gap - below), min(1.0, gap + above)


def membership_advantage(members: Losses, others: Losses) -> tuple[float, float, float]:
    """Advantage of the attack on losses of members and non-members, with its interval. Two of each at least."""
    hits = false_hits = 0
    for half in (0, 1):
        threshold = best_threshold(members[half::2], others[half::2])
        hits += int((members[1 - half :: 2] <= threshold).sum())
        false_hits += int((others[1 - half :: 2] <= threshold).sum())
    return difference(hits, len(members), false_hits, len(others))


def sample_losses(logits: Tensor, targets: Tensor) -> Losses:
    losses: Losses = F.cross_entropy(logits.double(), targets, reduction="none").numpy()
    return losses


def named(name: str, members: Predictions, others: Predictions, of_teacher: bool) -> Mapping[str, float]:
    def losses(split: Predictions) -> Losses:
        logits = split.teacher_logits if of_teacher else split.logits
        if logits is None:
            raise ValueError(f"{name} needs the teacher's logits")
        return sample_losses(logits, split.targets)

    advantage, low, high = membership_advantage(losses(members), losses(others))
    return {name: advantage, f"{name}_low": low, f"{name}_high": high}


def mia_advantage(evaluation: Evaluation) -> Mapping[str, float]:
    return named("mia_advantage", evaluation.splits["private"], evaluation.test, of_teacher=False)


def teacher_mia_advantage(evaluation: Evaluation) -> Mapping[str, float]:
    return named("teacher_mia_advantage", evaluation.splits["private"], evaluation.test, of_teacher=True)


PAPER = "Yeom, Giacomelli, Fredrikson, Jha, Privacy Risk in Machine Learning, CSF 2018"


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec(
        name="mia_advantage",
        compute=mia_advantage,
        summary="how well private images are told from test images by the student's loss",
        higher_is_better=False,
        unit="difference of rates",
        group="privacy",
        splits=("private", "test"),
        paper=PAPER,
    )
    yield MetricSpec(
        name="teacher_mia_advantage",
        compute=teacher_mia_advantage,
        summary="how well private images are told from test images by the teacher's loss",
        higher_is_better=False,
        unit="difference of rates",
        group="privacy",
        splits=("private", "test"),
        needs_teacher=True,
        paper=PAPER,
    )
