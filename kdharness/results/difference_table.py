"""What two readings of results differ in, as a table: one row for each thing that differs in a cell."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from kdharness.results.differences import ADDRESS, Differences, Moved, Pair, Row

# here, there: numbers; said_here, said_there: whatever is none.
DIFFERENCE_COLUMNS = (
    "difference_kind", *ADDRESS, "cell", "cell_there", "what", "here", "there", "difference", "said_here", "said_there",
    "origin",
)  # fmt: skip


def difference_table(found: Differences) -> pd.DataFrame:
    """DIFFERENCE_COLUMNS, by kind, then in the order of the first folder's cells.

    Kinds: `same`, `near` (within the tolerance), `other` numbers, another `status`, another `key` at the same address,
    and cells `only_here` or `only_there`. A cell that is the same, or in one folder alone, has one row without `what`.
    """
    return pd.DataFrame(list(_rows(found)), columns=list(DIFFERENCE_COLUMNS))


def _rows(found: Differences) -> Iterator[dict[str, Any]]:
    for kind, pairs in (("same", found.same), ("near", found.near), ("other", found.other)):
        for pair in pairs:
            yield from _numbers(kind, pair)
    for pair in found.fates:
        yield _row("status", pair.here, pair.there, _origin(pair), what="status", **_said(pair, "status"))
    for moved in found.moved:
        yield from _changes(moved)
    for row in found.only_here:
        yield _row("only_here", row)
    for row in found.only_there:
        yield {**_row("only_there", row), "cell": "", "cell_there": row["cell"]}


def _row(kind: str, ours: Row, theirs: Row | None = None, origin: str = "", **values: Any) -> dict[str, Any]:
    """values: those of the columns that are not empty."""
    empty = {"what": "", "here": math.nan, "there": math.nan, "difference": math.nan, "said_here": "", "said_there": ""}
    keys = {"cell": ours["cell"], "cell_there": "" if theirs is None else theirs["cell"]}
    address = {name: ours[name] for name in ADDRESS}
    return {"difference_kind": kind, **address, **keys, **empty, "origin": origin, **values}


def _numbers(kind: str, pair: Pair) -> Iterator[dict[str, Any]]:
    origin = _origin(pair)
    for name, (a, b) in pair.numbers.items():
        yield _row(kind, pair.here, pair.there, origin, what=name, here=a, there=b, difference=abs(a - b))
    if pair.weights:
        yield _row(kind, pair.here, pair.there, origin, what="weights")
    elif not pair.numbers:
        yield _row(kind, pair.here, pair.there, origin)


def _changes(moved: Moved) -> Iterator[dict[str, Any]]:
    """A row for each place of their documents; one without where nothing is on record."""
    for path, a, b in moved.changes or (("", None, None),):
        yield _row("key", moved.here, moved.there, what=path, said_here=_text(a), said_there=_text(b))


def _said(pair: Pair, name: str) -> dict[str, str]:
    return {"said_here": str(pair.here[name]), "said_there": str(pair.there[name])}


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)


def _origin(pair: Pair) -> str:
    """'kdharness_version 0.1.0 -> 0.2.0'."""
    return ", ".join(f"{name} {a or '-'} -> {b or '-'}" for name, a, b in pair.origin)
