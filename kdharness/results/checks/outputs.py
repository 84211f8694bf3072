"""A cell's test logits as its file holds them, and what can be counted of them without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdharness.results.arrays import UnreadableArrays, read_arrays

Logits = NDArray[np.floating[Any]]
Classes = NDArray[np.int64]

MAIN, BEFORE, TARGETS = "logits", "logits_", "targets"
BINS = 15
# Numbers that are made to double precision at a time.
AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Outputs:
    """Of one cell, over n test images.

    logits: [n, classes], float32, by name; "" is the main output.
    targets: int64 [n].
    """

    logits: Mapping[str, Logits]
    targets: Classes

    @property
    def main(self) -> Logits:
        return self.logits[""]


def read_outputs(path: Path) -> Outputs | None:
    """None where there is no such file, or none that holds logits and their targets."""
    try:
        arrays = read_arrays(path)
    except UnreadableArrays:
        return None
    targets = arrays.pop(TARGETS, None)
    if targets is None or MAIN not in arrays or targets.ndim != 1 or targets.dtype.kind not in "iu" or not len(targets):
        return None
    logits = {name.removeprefix(MAIN).removeprefix("_"): values for name, values in arrays.items()}
    if not all(_are_logits(values, targets) for values in logits.values()):
        return None
    return Outputs({name: values.astype(np.float32) for name, values in logits.items()}, targets.astype(np.int64))


def _are_logits(values: NDArray[np.generic], targets: NDArray[np.generic]) -> bool:
    if values.ndim != 2 or values.dtype.kind != "f" or len(values) != len(targets):
        return False
    return bool(np.isfinite(values).all() and targets.min() >= 0 and targets.max() < values.shape[1])


def percent(hits: NDArray[np.bool_]) -> float:
    """How many of them are so."""
    return 100.0 * (int(hits.sum()) / len(hits))


def topk(logits: Logits, targets: Classes, k: int) -> float:
    """Percent of images whose label is among the k largest logits; of equal ones the lower class counts as larger."""
    own, classes = logits[np.arange(len(targets)), targets][:, None], np.arange(logits.shape[1])
    ahead = (logits > own) | ((logits == own) & (classes < targets[:, None]))
    return percent(ahead.sum(axis=1) < k)


def agreement(logits: Logits, others: Logits) -> float:
    """Percent of images with the same largest logit."""
    return percent(logits.argmax(axis=1) == others.argmax(axis=1))


def nll(logits: Logits, targets: Classes) -> float:
    """Mean of -log p(label), in nats."""
    losses = (_log_sums(part) - part[np.arange(len(part)), labels] for part, labels in _parts(logits, targets))
    return math.fsum(value for part in losses for value in part.tolist()) / len(targets)


def ece(logits: Logits, targets: Classes) -> float:
    """Expected calibration error (Guo, Pleiss, Sun, Weinberger, ICML 2017, equation 3), 15 bins of equal width."""
    gaps = np.zeros(BINS)
    for part, labels in _parts(logits, targets):
        predicted = part.argmax(axis=1)
        confidence = np.exp(part[np.arange(len(part)), predicted] - _log_sums(part))
        bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence, side="left")
        gaps += np.bincount(bins, weights=confidence - (predicted == labels), minlength=BINS)
    return float(np.abs(gaps).sum()) / len(targets)


def mean_probability(members: Sequence[Logits]) -> Logits:
    """Several teachers as one: the mean of their probabilities, [n, classes]."""
    total = np.zeros(members[0].shape)
    for one in members:
        logits = one.astype(np.float64)
        total += np.exp(logits - _log_sums(logits)[:, None])
    return total / len(members)


def _log_sums(part: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = part.max(axis=1)
    found: NDArray[np.float64] = np.log(np.exp(part - largest[:, None]).sum(axis=1)) + largest
    return found


def _parts(logits: Logits, targets: Classes) -> Iterator[tuple[NDArray[np.float64], Classes]]:
    rows = max(1, AT_ONCE // logits.shape[1])
    for start in range(0, len(targets), rows):
        yield logits[start : start + rows].astype(np.float64), targets[start : start + rows]
