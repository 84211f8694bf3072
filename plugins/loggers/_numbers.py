"""What loggers take of a cell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from kdharness.api import CellInfo

# Numbers that are no result.
_NOT_MEASURED = ("seed", "group_size")
_MOST_LETTERS = 150


def measured(record: Mapping[str, object]) -> dict[str, float]:
    """The finite numbers of a row of results.csv, by column."""
    numbers = {name: value for name, value in record.items() if type(value) in (int, float)}
    found = {name: float(str(value)) for name, value in numbers.items() if name not in _NOT_MEASURED}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def title(cell: CellInfo) -> str:
    """A cell's name for people, which a file may have and no other cell has."""
    method = f"{cell.method}[{cell.variant}]" if cell.variant else cell.method
    pair = f"{cell.teacher}-{cell.student}" if cell.teacher else cell.student
    words = (cell.dataset, cell.scenario, cell.recipe, cell.role, method, pair, f"seed{cell.seed}")
    name = re.sub(r"[^\w.=,+\[\]-]+", "_", "-".join(filter(None, words)))
    return f"{name[:_MOST_LETTERS]}-{cell.key[:8]}"
