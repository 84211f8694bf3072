"""Two readings of results held against each other, cell by cell: which differ, by how much, and since when."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kdharness.results.contents import Contents
from kdharness.results.joining import joined
from kdharness.results.record import FLOAT_COLUMNS, INTEGER_COLUMNS

Row = Mapping[str, Any]

# Numbers that are others each time: how long it took, beside whom.
PASSING = (
    "seed", "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds", "images_per_second", "group_size",
    "peak_memory_bytes",
)  # fmt: skip
NUMBERS = tuple(name for name in (*FLOAT_COLUMNS, *INTEGER_COLUMNS) if name not in PASSING)
LATENCY = "latency"
# What a cell is called, whatever its contents.
ADDRESS = (
    "benchmark", "dataset", "scenario", "recipe", "role", "track", "method", "variant", "teacher", "student", "seed",
)  # fmt: skip
# What a row says of a cell's document.
SAID = ("protocol", "deviations", "seeding", "method_package", "method_revision", "parameters", "teacher_cell")
# What may have made the difference.
ORIGINS = ("kdharness_version", "torch_version", "method_revision", "fingerprint", "teacher_digest")

Origin = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Pair:
    """One cell of both, by its key.

    here, there: its rows. numbers: by name of each number that differs, both values (NaN where one has none).
    weights: whether both kept weights, and these differ.
    """

    here: Row
    there: Row
    numbers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    weights: bool = False

    @property
    def most(self) -> float:
        """The largest difference; infinite where a number is in one of both alone."""
        gaps = [abs(a - b) for a, b in self.numbers.values()]
        return max((math.inf if math.isnan(gap) else gap for gap in gaps), default=0.0)

    @property
    def origin(self) -> Origin:
        """What is another one of ORIGINS, and both."""
        each = ((name, str(self.here[name]), str(self.there[name])) for name in ORIGINS)
        return tuple(found for found in each if found[1] != found[2])


@dataclass(frozen=True)
class Moved:
    """Two cells at one address with other keys. changes: where their documents differ, and both values."""

    here: Row
    there: Row
    changes: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class Differences:
    """same: equal to the last bit. near: within the tolerance. other: beyond it. fates: of other statuses.
    moved: at one address with another key. only_here, only_there: rows whose address the other has not.
    """

    same: tuple[Pair, ...]
    near: tuple[Pair, ...]
    other: tuple[Pair, ...]
    fates: tuple[Pair, ...]
    moved: tuple[Moved, ...]
    only_here: tuple[Row, ...]
    only_there: tuple[Row, ...]


def differences(here: Sequence[Contents], there: Sequence[Contents], tolerance: float = 0.0) -> Differences:
    """tolerance: how far a number may be from the other to count as near."""
    ours, theirs = _Side(here), _Side(there)
    pairs = [_pair(key, ours, theirs) for key in ours.rows if key in theirs.rows]
    fates = [pair for pair in pairs if pair.here["status"] != pair.there["status"]]
    done = [pair for pair in pairs if pair.here["status"] == pair.there["status"] == "ok"]
    moved, left_here, left_there = _moved(ours, theirs)
    return Differences(
        same=tuple(pair for pair in done if not pair.numbers and not pair.weights),
        near=tuple(pair for pair in done if (pair.numbers or pair.weights) and pair.most <= tolerance),
        other=tuple(pair for pair in done if pair.most > tolerance),
        fates=tuple(fates),
        moved=tuple(moved),
        only_here=tuple(left_here),
        only_there=tuple(left_there),
    )


class _Side:
    """rows: by key, each cell once. metrics: by key, numbers of outputs and splits. documents, weights: by key."""

    def __init__(self, found: Sequence[Contents]) -> None:
        frame = joined(found)
        ordered = frame.assign(_ok=frame["status"] == "ok").sort_values(["_ok", "finished_at"], kind="stable")
        once = ordered.drop_duplicates("cell", keep="last").sort_index().drop(columns="_ok")
        self.rows: dict[str, Row] = {str(row["cell"]): row for row in map(_named, once.to_dict("records"))}
        self.documents = {key: entry.cell.document for c in found for key, entry in c.planned.items()}
        records = {key: record for contents in found for key, record in contents.current.items()}
        self.weights = {key: record.weights for key, record in records.items() if record.weights}
        self.metrics = {
            key: {f"{m.predictor} {m.split} {m.metric}": m.value for m in record.metrics if LATENCY not in m.metric}
            for key, record in records.items()
        }

    def without(self, other: _Side) -> dict[tuple[Any, ...], list[Row]]:
        """The rows of cells that the other has not, by their address."""
        found: dict[tuple[Any, ...], list[Row]] = {}
        for key, row in self.rows.items():
            if key not in other.rows:
                found.setdefault(tuple(row[name] for name in ADDRESS), []).append(row)
        return found


def _named(row: Mapping[Hashable, Any]) -> Row:
    return {str(name): value for name, value in row.items()}


def _pair(key: str, ours: _Side, theirs: _Side) -> Pair:
    here, there = ours.rows[key], theirs.rows[key]
    numbers = dict(_unequal(_numbers(here), _numbers(there)))
    if key in ours.metrics and key in theirs.metrics:
        numbers |= dict(_unequal(ours.metrics[key], theirs.metrics[key]))
    both = key in ours.weights and key in theirs.weights
    return Pair(here, there, numbers, both and ours.weights[key] != theirs.weights[key])


def _numbers(row: Row) -> dict[str, float]:
    extra = (name for name in row if name.startswith("x_") and LATENCY not in name)
    return {
        name: float(row[name])
        for name in (*NUMBERS, *extra)
        if isinstance(row.get(name), int | float) and not pd.isna(row[name])
    }


def _unequal(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Bit for bit; NaN equals NaN."""
    for name in dict.fromkeys((*ours, *theirs)):
        a, b = ours.get(name, math.nan), theirs.get(name, math.nan)
        if a != b and not (math.isnan(a) and math.isnan(b)):
            yield name, (a, b)


# -- other keys --------------------------------------------------------------------------------------------------------


def _moved(ours: _Side, theirs: _Side) -> tuple[list[Moved], list[Row], list[Row]]:
    """What has a namesake in the other, and what of both has none. Where several share an address nobody can say which
    belong together.
    """
    addressed, known = ours.without(theirs), theirs.without(ours)
    moved, left = [], []
    for address, rows in addressed.items():
        others = known.get(address, [])
        if len(rows) == len(others) == 1:
            here, there = rows[0], others[0]
            moved.append(Moved(here, there, tuple(document_changes(*_identities(here, there, ours, theirs)))))
            del known[address]
        else:
            left += rows
    return moved, left, [row for rows in known.values() for row in rows]


def _identities(here: Row, there: Row, ours: _Side, theirs: _Side) -> tuple[Any, Any]:
    """Both documents; of somebody else's table, what its rows say."""
    documents = ours.documents.get(str(here["cell"])), theirs.documents.get(str(there["cell"]))
    return ({k: here[k] for k in SAID}, {k: there[k] for k in SAID}) if None in documents else documents


def document_changes(here: Any, there: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Paths of two documents at which they differ, and both values; None where one has nothing there."""
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for name in dict.fromkeys((*here, *there)):
            yield from document_changes(here.get(name), there.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for place, (a, b) in enumerate(zip(here, there, strict=True)):
            yield from document_changes(a, b, f"{path}[{place}]")
    elif here != there:
        yield path, here, there
