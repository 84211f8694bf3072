"""What it took to train the cells that stand before a cell, other than its pair's teachers."""

from __future__ import annotations

from collections.abc import Mapping

from kdharness.planning.cell import Cell
from kdharness.planning.plan import PlannedCell
from kdharness.results.record import Record


def chain_seconds(cell: Cell, planned: Mapping[str, PlannedCell], records: Mapping[str, Record]) -> float | None:
    """Training time of an assistant, an earlier generation, a start: of each alone, and of what it requires itself.

    The pair's teachers are there for every method, and in no chain. None where a time is not known.
    """
    total = 0.0
    for key in _links(cell, planned):
        record = records.get(key)
        seconds = None if record is None else record.values.get("alone_seconds")
        if seconds is None:
            return None
        total += float(seconds)
    return total


def _links(cell: Cell, planned: Mapping[str, PlannedCell]) -> dict[str, None]:
    """Keys of all cells of the chain, each once. What comes from a file was not trained here."""
    taught_by = {source.cell for source in cell.reference_teachers}
    found: dict[str, None] = {}
    waiting = [cell]
    while waiting:
        for source in waiting.pop().sources:
            if source.cell and source.cell not in taught_by and source.cell not in found:
                found[source.cell] = None
                if source.cell in planned:
                    waiting.append(planned[source.cell].cell)
    return found
