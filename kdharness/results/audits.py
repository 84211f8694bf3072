"""What a cell's audit is made of: for each candidate, whether it was a member, and how sure its label was to networks.

It tells of single private images, so that its file lies under `private/`, for the owner alone, whoever the cell is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdharness.results.arrays import UnreadableArrays, read_arrays
from kdharness.results.files import write_atomic, writing
from kdharness.results.paths import CellFiles
from kdharness.results.shelter import own

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Audit:
    """Of one cell, over its candidates [n].

    candidates: int64, positions in the training split.
    members: whether teachers trained on it. canaries: whether its label is a wrong one.
    confidence: float64, log(p / (1 - p)) of the label's probability p, by the main output.
    teacher_confidence: by the teacher; None without one.
    """

    candidates: NDArray[np.int64]
    members: Flags
    canaries: Flags
    confidence: Values
    teacher_confidence: Values | None = None

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """By name, as the file holds them."""
        return {name: values for name, values in vars(self).items() if values is not None}


def write_audit(files: CellFiles, audit: Audit) -> None:
    """UserError where it cannot be written."""
    path, arrays = files.audit, audit.arrays()
    with writing(path):
        for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
            own(folder)
    write_atomic(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]


def read_audit(path: Path) -> Audit | None:
    """None where there is none, or none that can be used."""
    try:
        audit = Audit(**read_arrays(path))
    except (UnreadableArrays, TypeError):
        return None
    return audit if {len(values) for values in audit.arrays().values()} == {len(audit.candidates)} else None
