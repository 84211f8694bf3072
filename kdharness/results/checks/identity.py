"""Whether a cell is what its key says: the key is the digest of its document, and the document says all the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kdharness.planning.cell import STUDENT, TEACHER, Cell, digest
from kdharness.protocol.variant import shown as value_text
from kdharness.results.checks.finding import shown

# A comma in a value is no end of it.
_PART = re.compile(r",(?=[\w.]+=)")
# Between the names of methods that are trained as one.
JOINED = "+"


def faults_of_cell(cell: Cell) -> Iterator[str]:
    """A line for the key and for each field that is not as its document says."""
    if (found := digest(cell.document)) != cell.key:
        yield f"its key is {shown(cell.key)}, and its document has the key {found}"
    stated = _stated(cell)
    for name, value in _said(cell.document).items():
        if stated[name] != value:
            yield f"{name} is {shown(stated[name])}, its document says {shown(value)}"
    for track, variant in cell.standings.items():
        yield from _of_variant(f"variant in track {track}" if cell.tracks else "variant", variant, cell)
    if cell.reference_teachers and (models := [s.model for s in cell.reference_teachers]) != [*cell.pair.teachers]:
        yield f"its teachers are called {shown('+'.join(cell.pair.teachers))}, and they are {shown('+'.join(models))}"
    parameters = part_of(part_of(cell.document, "method"), "parameters")
    for name, value in parameters.items():
        if name not in cell.parameters or cell.parameters[name] != value:
            yield f"parameter {name} is {shown(cell.parameters.get(name, ''))}, its document says {shown(value)}"


def part_of(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Of a document, which may be anybody's; nothing where it is none."""
    part = document.get(name, {})
    return part if isinstance(part, Mapping) else {}


def _of_variant(name: str, variant: str, cell: Cell) -> Iterator[str]:
    """A line for what it says that parameters and left out terms do not."""
    terms = part_of(cell.document, "method").get("without", ())
    known = {f"without={term}" for term in terms} | {f"{k}={value_text(v)}" for k, v in cell.parameters.items()}
    for part in filter(None, _PART.split(variant)):
        if part not in known:
            yield f"{name} says {shown(part)}, and its parameters do not"
    for term in sorted(set(terms)):
        if f"without={term}" not in _PART.split(variant):
            yield f"{name} is {shown(variant)}, and its document leaves out {shown(term)}"


def _stated(cell: Cell) -> dict[str, Any]:
    return {
        "method": cell.method,
        "seed": cell.seed,
        "student": cell.student,
        "dataset": cell.dataset,
        "role": TEACHER if cell.role == TEACHER else STUDENT,
        "seeding": cell.seeding,
        "method_package": cell.method_package,
        "method_revision": cell.method_revision,
        "teachers": [source.identity for source in cell.teachers],
        "models of teachers": [source.model for source in cell.teachers],
        "start": cell.start.identity if cell.start else "",
    }


def _said(document: Mapping[str, Any]) -> dict[str, Any]:
    """Of those, what the document names."""
    found = {name: document[name] for name in ("seed", "role") if name in document}
    found |= {name: document[name].get("name") for name in ("method", "student", "dataset") if name in document}
    if "teachers" in document:
        found |= {"teachers": [each.get("source") for each in document["teachers"]], "start": document.get("start", "")}
        found["models of teachers"] = [each.get("name") for each in document["teachers"]]
    if document.get("role") == STUDENT:
        found["seeding"] = document.get("seeding", STUDENT)
    return {**found, **_provider(document)}


def _provider(document: Mapping[str, Any]) -> dict[str, str]:
    """Of one method: what is trained as one with others has a line for each."""
    method = part_of(document, "method")
    stamp = part_of(method, "plugin")
    if JOINED in str(method.get("name", "")):
        return {}
    found = {"method_package": str(stamp["package"])} if "package" in stamp else {}
    revision = "+".join(str(stamp[part]) for part in ("revision", "version", "digest") if part in stamp)
    return {**found, "method_revision": revision} if revision else found
