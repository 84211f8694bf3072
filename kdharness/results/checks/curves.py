"""A cell's history.csv, read back."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from kdharness.plain_files import open_plain
from kdharness.results.formulas import unguarded
from kdharness.results.history import HISTORY_COLUMNS
from kdharness.results.reading import MOST_BYTES

# Split, predictor, metric.
Curve = tuple[str, str, str]


@dataclass(frozen=True)
class Curves:
    """By what each is of, its values by epoch, counted from 1."""

    values: Mapping[Curve, Mapping[int, float]]

    def of(self, split: str, predictor: str, metric: str) -> Mapping[int, float]:
        return self.values.get((split, predictor, metric), {})

    @property
    def epochs(self) -> int:
        """The last one that has a number; 0 where none has."""
        return max((max(curve) for curve in self.values.values()), default=0)


def read_curves(path: Path) -> Curves | None:
    """None where there is no such file, or none that holds curves."""
    found: dict[Curve, dict[int, float]] = {}
    try:
        with open_plain(path, MOST_BYTES) as file, TextIOWrapper(file, encoding="utf-8", newline="") as text:
            rows = csv.reader(text)
            if tuple(next(rows, ())) != HISTORY_COLUMNS:
                return None
            for epoch, split, predictor, metric, value in rows:
                curve = (unguarded(split), unguarded(predictor), unguarded(metric))
                found.setdefault(curve, {})[int(epoch)] = float(value) if value else math.nan
    except (OSError, ValueError, csv.Error):
        return None
    return Curves(found)
