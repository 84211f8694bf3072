"""A cell's test predictions, read without torch."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAIN = "logits"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Of the main output. logits: [images, classes], as stored; targets: [images]."""

    logits: NDArray[Any]
    targets: NDArray[Any]


def read_predictions(path: Path) -> Predictions | None:
    """None where there are none, or none that can be used."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            found = Predictions(saved[MAIN], saved["targets"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None
    return found if found.logits.ndim == 2 and found.targets.shape == found.logits.shape[:1] else None
