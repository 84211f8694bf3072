"""Cells as release 0.1.0 wrote them, so that its folders can still be read.

Nothing there mixes with today's cells: keys and protocols differ by their schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kdharness.planning.cell import TEACHER
from kdharness.protocol.benchmark import STANDARD


def upgraded(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a cell with what it lacks: the pair, which was what its teachers made of it."""
    former = {key: value for key, value in cell.items() if key not in ("student", "teachers", "start")}
    sources = [_source(source) for source in cell["teachers"]]
    taught = [_source(source) for source in cell["teachers"] if not source["auxiliary"]]
    return {
        **former,
        "recipe_name": "" if cell["role"] == TEACHER else STANDARD,
        "pair": {"teachers": [source["model"] for source in taught], "student": cell["student"]},
        "teachers": sources,
        "reference_teachers": taught,
        "start": _source(cell["start"]) if cell.get("start") else None,
    }


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != "auxiliary"}
