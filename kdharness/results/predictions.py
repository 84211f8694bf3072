"""A cell's test predictions, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from kdharness.results.arrays import UnreadableArrays, read_arrays

MAIN = "logits"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of the main output. logits: [images, classes], as stored; targets: [images]."""

    logits: NDArray[Any]
    targets: NDArray[Any]


def read_predictions(path: Path) -> Predictions | None:
    """None where there are none, or none that can be used."""
    try:
        saved = read_arrays(path)
        found = Predictions(saved[MAIN], saved["targets"])
    except (UnreadableArrays, KeyError):
        return None
    return found if found.logits.ndim == 2 and found.targets.shape == found.logits.shape[:1] else None
