"""Whether a cell is what its key says: the key is the digest of its document, and the document says all the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdharness.planning.cell import STUDENT, TEACHER, Cell, digest
from kdharness.results.checks.finding import shown


def faults_of_cell(cell: Cell) -> Iterator[str]:
    """A line for the key and for each field that is not as its document says."""
    if (found := digest(cell.document)) != cell.key:
        yield f"its key is {shown(cell.key)}, and its document has the key {found}"
    stated = _stated(cell)
    for name, value in _said(cell.document).items():
        if stated[name] != value:
            yield f"{name} is {shown(stated[name])}, its document says {shown(value)}"
    parameters = cell.document.get("method", {}).get("parameters", {})
    for name, value in parameters.items():
        if name not in cell.parameters or cell.parameters[name] != value:
            yield f"parameter {name} is {shown(cell.parameters.get(name, ''))}, its document says {shown(value)}"


def _stated(cell: Cell) -> dict[str, Any]:
    return {
        "method": cell.method,
        "seed": cell.seed,
        "student": cell.student,
        "dataset": cell.dataset,
        "role": TEACHER if cell.role == TEACHER else STUDENT,
        "teachers": [source.identity for source in cell.teachers],
        "start": cell.start.identity if cell.start else "",
    }


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    """Of those, what the document names."""
    found = {name: document[name] for name in ("seed", "role") if name in document}
    found |= {name: document[name].get("name") for name in ("method", "student", "dataset") if name in document}
    if "teachers" in document:
        found |= {"teachers": [each.get("source") for each in document["teachers"]], "start": document.get("start", "")}
    return found
