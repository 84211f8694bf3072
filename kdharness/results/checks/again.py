"""Cells of a finished folder that are trained once more: which, with what, and whether they come out the same."""

from __future__ import annotations

import math
import random
import shutil
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.results.bound import weights_fault
from kdharness.results.checks.curves import Curves, read_curves
from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.checks.numbers import PREDICTIONS
from kdharness.results.contents import Contents
from kdharness.results.paths import MODEL_FILE
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder

# Another machine rounds otherwise, and training goes another way from there on, as if by another seed: two seeds differ
# by less than this many standard deviations over seeds, but for 3 in 1000.
SPREADS = 3 * math.sqrt(2)
LEAST_POINTS = 1.0


@dataclass(frozen=True)
class Draw:
    """records: those to be trained again. left_out: by reason, how many cannot be."""

    records: tuple[Record, ...]
    left_out: Mapping[str, int]


def draw(contents: Contents, count: int, seed: int) -> Draw:
    """At random, of all cells that are ok and can be trained here."""
    left_out: Counter[str] = Counter()
    able = []
    for key in sorted(contents.current):
        record = contents.current[key]
        if record.status is Status.OK:
            reason = _obstacle(contents, record.cell)
            left_out.update([reason] if reason else [])
            able += [] if reason else [record]
    chosen = random.Random(seed).sample(able, min(count, len(able)))
    return Draw(tuple(chosen), left_out)


def _obstacle(contents: Contents, cell: Cell) -> str:
    """Why nobody can train it from what is here; "" for nothing."""
    if cell.secret:
        return "their noise is secret: no other training gives their numbers"
    for key in cell.requires:
        record = contents.records.get(key)
        if record is None or weights_fault(contents.files_of(key), record):
            return "the weights of what they were taught by are not here"
    files = [*cell.weight_files.values(), *(source.path for source in cell.sources if source.sha256)]
    return "" if all(Path(path).is_file() for path in files) else "they begin with weights from a file that is not here"


def prepare(contents: Contents, records: Sequence[Record], folder: ResultsFolder, metrics: Collection[str]) -> Plan:
    """Puts what the records require into an empty folder, and plans them there. metrics: those that are installed."""
    required = dict.fromkeys(key for record in records for key in record.cell.requires)
    own = {record.cell.key for record in records}
    for key in required:
        if key not in own:
            _take(contents, key, folder)
    again = {key: contents.records[key].cell for key in (*required, *own)}
    measured = dict.fromkeys(name for record in records for name in record.measured if name in metrics)
    cells = tuple(PlannedCell(cell) for cell in _in_order(again))
    return Plan(contents.name, cells, metrics=tuple(measured))


def _take(contents: Contents, key: str, folder: ResultsFolder) -> None:
    """A cell's record and weights, as they are."""
    theirs, own = contents.files_of(key), folder.cell(key)
    if theirs.shelter.is_dir():
        folder.shelter(key)
    for source, target in ((theirs.record, own.record), (theirs.model, own.model)):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _in_order(cells: Mapping[str, Cell]) -> list[Cell]:
    """What is required comes first."""
    found: dict[str, Cell] = {}
    while waiting := [cell for key, cell in cells.items() if key not in found]:
        ready = [cell for cell in waiting if all(key in found or key not in cells for key in cell.requires)]
        found |= {cell.key: cell for cell in ready or waiting}
    return list(found.values())


def compared(contents: Contents, record: Record, folder: ResultsFolder) -> Finding | str:
    """What came of training it again: a line where it is the same, as far as it should be."""
    key, label = record.cell.key, record.cell.label
    where, again = f"cells/{key}", folder.read_record(key)
    if again is None or again.status is not Status.OK:
        reason = "" if again is None else f": {again.error_type} {again.error_message}"
        return Finding(Kind.MISSING, where, f"{label} could not be trained again{reason}")
    then, now = (float(each.values.get("top1", math.nan)) for each in (record, again))
    numbers = f"top1 {shown(now)}, its record says {shown(then)}"
    if record.values.get("fingerprint") == again.values.get("fingerprint"):
        others = _other_bits(contents, record, again, folder)
        if others:
            what = f"{label} trained again gives {numbers}; on such a machine it gives the same bits, and not so here: "
            return Finding(Kind.DIFFERS, where, what + ", ".join(others))
        return f"trained again, the same bits: {label}"
    most = tolerance(contents, record)
    apart = f"{label} trained again on another machine gives {numbers}"
    if math.isnan(now - then) or abs(now - then) <= most:
        return f"within {most:.2f} points: {apart}"
    return Finding(Kind.DIFFERS, where, f"{apart}: more than {most:.2f} points apart")


def _other_bits(contents: Contents, record: Record, again: Record, folder: ResultsFolder) -> list[str]:
    """Names of the files that are others."""
    both = [name for name in (PREDICTIONS, MODEL_FILE) if name in record.files and name in again.files]
    found = [name for name in both if record.files[name] != again.files[name]]
    there, here = contents.files_of(record.cell.key), folder.cell(again.cell.key)
    then, now = read_curves(there.history), read_curves(here.history)
    if then is not None and (now is None or not _holds(now, then)):
        found.append("history.csv")
    return found


def _holds(now: Curves, then: Curves) -> bool:
    """Whether all curves of then are among those of now. By text: a nan is no nan."""
    return all(repr(now.values.get(curve)) == repr(values) for curve, values in then.values.items())


def tolerance(contents: Contents, record: Record) -> float:
    """Points of accuracy between two machines: by the spread over seeds of the same competitor, and one at least."""
    same = [r for r in contents.current.values() if _competitor(r.cell) == _competitor(record.cell)]
    values = [float(r.values["top1"]) for r in same if r.status is Status.OK and "top1" in r.values]
    return max(LEAST_POINTS, SPREADS * statistics.stdev(values)) if len(values) > 1 else LEAST_POINTS


def _competitor(cell: Cell) -> Cell:
    """The cell without what its seed decides."""
    return replace(cell, key="", seed=0, document={}, teachers=(), reference_teachers=(), start=None, teacher_seed=None)
