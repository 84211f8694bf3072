"""How often predictions are right where they are so sure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15


@dataclass(frozen=True)
class SureBin:
    """Images whose largest probability lies in one of BINS equal intervals.

    number: which, from 0. confidence: the mean. accuracy: the share that is right. count: how many images.
    """

    number: int
    confidence: float
    accuracy: float
    count: int


def reliability(logits: NDArray[Any], targets: NDArray[Any]) -> tuple[SureBin, ...]:
    """The bins that hold an image, as those of the expected calibration error (Guo, Pleiss, Sun, Weinberger, ICML
    2017): bin m holds what is in ((m - 1) / BINS, m / BINS].

    logits: [images, classes]; targets: [images]. Images whose logits are not finite count nowhere.
    """
    wide = np.asarray(logits, dtype=np.float64)
    known = np.isfinite(wide).all(axis=1)
    wide, targets = wide[known], targets[known]
    if not wide.size:
        return ()
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    confidence = 1.0 / powers.sum(axis=1)  # that of the largest: its power is 1
    right = wide.argmax(axis=1) == targets
    place = np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="left")
    held = [place == number for number in range(BINS)]
    return tuple(
        SureBin(number, float(confidence[in_it].mean()), float(right[in_it].mean()), int(in_it.sum()))
        for number, in_it in enumerate(held)
        if in_it.any()
    )


def pooled(seeds: Iterable[Sequence[SureBin]]) -> tuple[SureBin, ...]:
    """The bins of the images of several seeds together."""
    by_number: dict[int, list[SureBin]] = {}
    for bins in seeds:
        for one in bins:
            by_number.setdefault(one.number, []).append(one)
    return tuple(_together(by_number[number]) for number in sorted(by_number))


def _together(bins: Sequence[SureBin]) -> SureBin:
    count = sum(one.count for one in bins)
    confidence = sum(one.confidence * one.count for one in bins) / count
    accuracy = sum(one.accuracy * one.count for one in bins) / count
    return SureBin(bins[0].number, confidence, accuracy, count)
