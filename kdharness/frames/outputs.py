"""A cell's test logits as numpy arrays, from its predictions.npz."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kdharness.errors import UnknownName, UserError
from kdharness.results.arrays import Arrays, UnreadableArrays, read_arrays
from kdharness.results.contents import Contents

MAIN = "main"
LOGITS, TARGETS = "logits", "targets"


@dataclass(frozen=True, eq=False)
class Outputs:
    """What one output of a cell's network says of the n test images, in the dataset's order.

    cell: its key.
    predictor: the output's name; "main" for the one that top1 is of.
    logits: float32 [n, classes], as they are stored: rounded to half precision unless one is too large for that.
    targets: int64 [n].
    """

    cell: str
    predictor: str
    logits: NDArray[np.float32]
    targets: NDArray[np.int64]


def outputs_of(contents: Contents, key: str, predictor: str = MAIN) -> Outputs:
    """UserError where the cell has none that anybody may read, or no such output."""
    arrays = _arrays(_path(contents, key), key)
    others = {name.removeprefix(f"{LOGITS}_"): name for name in arrays if name.startswith(f"{LOGITS}_")}
    names = {**dict.fromkeys((MAIN, _main_name(contents, key, others)), LOGITS), **others}
    if predictor not in names:
        raise UnknownName("output", predictor, names, f"of cell {key}")
    return Outputs(key, predictor, arrays[names[predictor]].astype(np.float32), arrays[TARGETS].astype(np.int64))


def _path(contents: Contents, key: str) -> Path:
    """Of the file beside the record: what learned from private images is kept elsewhere, for its owner alone."""
    if key not in contents.current:
        raise UserError(f"cell {key} in {contents.path} left no record that counts, so that it has no outputs")
    files = contents.files_of(key)
    if files.predictions.parent != files.folder:
        raise UserError(f"cell {key} learned from private images: its outputs are its owner's, in {files.shelter}")
    if not files.predictions.is_file():
        status = contents.current[key].status.value
        raise UserError(f"cell {key} ({status}) has no {files.predictions.name} in {files.folder}")
    return files.predictions


def _arrays(path: Path, key: str) -> Arrays:
    try:
        found = read_arrays(path)
    except UnreadableArrays as error:
        raise UserError(f"{path} of cell {key} cannot be read: {error}") from error
    logits, targets = found.get(LOGITS), found.get(TARGETS)
    if logits is None or targets is None or logits.ndim != 2 or targets.shape != logits.shape[:1]:
        raise UserError(f"{path} of cell {key} holds no logits [n, classes] with targets [n]")
    return found


def _main_name(contents: Contents, key: str, others: Mapping[str, str]) -> str:
    """What metrics.csv calls the main output."""
    rows = contents.current[key].metrics
    return next((row.predictor for row in rows if row.split == "test" and row.predictor not in others), LOGITS)
