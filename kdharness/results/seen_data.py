"""What the networks behind a cell saw before its benchmark's data: what pretrained weights were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdharness.planning.cell import UNKNOWN, Cell


def seen_data(cell: Cell, cells: Mapping[str, Cell]) -> str:
    """Names joined by '+', of the student and of all that taught it; "" where every network began with drawn weights.

    cells: by key, those that it may have learned from.
    """
    return "+".join(sorted({name for text in _seen(cell, cells, {cell.key}) for name in text.split("+")}))


def _seen(cell: Cell, cells: Mapping[str, Cell], visited: set[str]) -> Iterator[str]:
    """visited: keys of cells that were asked, to which a damaged plan may lead back."""
    for network in _networks(cell.document):
        if network.get("weights"):
            yield cell.seen_data.get(network.get("name", ""), UNKNOWN)
    for source in cell.sources:
        if not source.cell:
            yield UNKNOWN  # a file
        elif source.cell not in visited:
            visited.add(source.cell)
            if source.cell in cells:
                yield from _seen(cells[source.cell], cells, visited)


def _networks(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a document says of its networks; what a damaged or a former release's says otherwise is left out."""
    lists = [found for name in ("teachers", "networks") if isinstance(found := document.get(name), list)]
    every = (document.get("student"), *(each for found in lists for each in found))
    return [each for each in every if isinstance(each, Mapping)]
