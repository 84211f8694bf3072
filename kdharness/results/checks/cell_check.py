"""One record, held against its files and against the records that it rests on."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from kdharness.results.checks.circumstances import faults_of_circumstances
from kdharness.results.checks.curves import read_curves
from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.checks.numbers import (
    HISTORY,
    METRICS,
    PREDICTIONS,
    TEACHERS,
    Count,
    Evidence,
    Place,
    Reason,
    column_of,
    counts_of,
    reason_of,
    stated_numbers,
)
from kdharness.results.checks.outputs import Outputs, read_outputs
from kdharness.results.checks.tally import Tally
from kdharness.results.checks.ties import DIGITS
from kdharness.results.contents import Contents
from kdharness.results.paths import CellFiles
from kdharness.results.record import Record
from kdharness.results.seal import altered
from kdharness.weights.digests import sha256_of

# Of a record, its numbers as the metrics themselves count them, with torch.
Settle = Callable[[Record, Evidence], Mapping[Place, float]]

# How many cells' logits are held: a teacher's serve all its students.
MOST_HELD = 12
MOST_NAMED = 5


class CellChecks:
    """Checks the records of one folder.

    settle: asked where a sum does not agree to the last digits. always: asked of every record.
    """

    def __init__(self, contents: Contents, settle: Settle, always: bool) -> None:
        self._contents = contents
        self._settle = settle
        self._always = always
        self._held = lru_cache(MOST_HELD)(self._outputs)

    def files(self, record: Record) -> Iterator[Finding]:
        """Those that are others than the record says, or that are not there."""
        key, digests = record.cell.key, record.files
        files = self._contents.files_of(key)
        for path in altered(files, digests):
            what = f"its SHA-256 is {_sha256(path)}, its record says {digests[path.name][:DIGITS]}"
            yield Finding(Kind.EDITED, f"cells/{key}/{path.name}", what)
        if not record.cell.sheltered:
            for path in (files.history, files.predictions):
                if path.name in digests and not path.exists():
                    yield Finding(Kind.MISSING, f"cells/{key}/{path.name}", "its record names it, and it is not there")

    def numbers(self, record: Record, tally: Tally) -> Iterator[Finding]:
        """Those that are others than counted again. Only of a record that is ok."""
        stated, evidence = stated_numbers(record), self.evidence(record)
        counts = [count for count in counts_of(record, evidence) if count.place in stated]
        if self._always or any(not count.exact and not count.fits(stated[count.place]) for count in counts):
            counts = _settled(counts, self._settle(record, evidence), stated)
        tally.count(stated, {c.place: c.exact for c in counts if c.is_evidence}, lambda at: reason_of(at, evidence))
        yield from self._wrong(record, counts, stated)
        splits = frozenset(split for split, *_ in evidence.curves.values) if evidence.curves else frozenset[str]()
        for fault in faults_of_circumstances(record, splits):
            yield Finding(Kind.EDITED, where(record), fault)
        if len(stated) < len(record.metrics) + sum(not place.split for place in stated):
            yield Finding(Kind.EDITED, where(record), "its metrics name the same number twice")
        for metric in METRICS:
            if metric in record.measured and column_of(metric) not in stated:
                yield Finding(Kind.MISSING, where(record), f"it says that {metric} was measured, and has none")

    def _wrong(self, record: Record, counts: list[Count], stated: Mapping[Place, float]) -> Iterator[Finding]:
        """One finding for each source that says otherwise."""
        wrong: dict[str, dict[Place, Count]] = defaultdict(dict)
        for count in counts:
            if not count.fits(stated[count.place]):
                wrong[count.source][count.place] = count
        for source, found in wrong.items():
            first, *others = sorted(found.values(), key=lambda count: count.place.split != "")  # columns first
            names = ", ".join(str(other.place) for other in others[:MOST_NAMED])
            more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
            rest = f"; so do others not fit: {names}{more}" if others else ""
            value = shown(stated[first.place])
            what = f"{first.place} is {value}, {source} gives {shown(first.value)}{rest} ({record.cell.label})"
            yield Finding(Kind.EDITED, where(record), what)

    def evidence(self, record: Record) -> Evidence:
        """What there is to count its numbers from."""
        key, why = record.cell.key, dict[str, Reason]()
        files = self._contents.files_of(key)
        outputs, teachers = self._held(key), self._teachers(record)
        is_curve_own = HISTORY not in record.files or not _is_other(files, record, HISTORY)
        curves = read_curves(files.history) if is_curve_own else None
        if outputs is None and files.predictions.exists():
            why[PREDICTIONS] = why[TEACHERS] = Reason.ALTERED
        if curves is None and files.history.exists():
            why[HISTORY] = Reason.ALTERED
        return Evidence(outputs, curves, teachers, why)

    def labels(self, record: Record) -> str:
        """The digest of the test labels in its file; "" without one."""
        outputs = self._held(record.cell.key)
        return "" if outputs is None else hashlib.sha256(outputs.targets.tobytes()).hexdigest()

    def _outputs(self, key: str) -> Outputs | None:
        """Of a file that is its record's."""
        record, files = self._contents.records.get(key), self._contents.files_of(key)
        if record is not None and PREDICTIONS in record.files and _is_other(files, record, PREDICTIONS):
            return None
        return read_outputs(files.predictions)

    def _teachers(self, record: Record) -> tuple[Outputs, ...]:
        """The logits that its teachers gave beside it; nothing where they may have been others in the last digits."""
        found = []
        for source in record.cell.reference_teachers:
            other = self._contents.records.get(source.cell)
            outputs = None if other is None or not _ran_alike(record, other) else self._held(source.cell)
            if outputs is None:
                return ()
            found.append(outputs)
        return tuple(found)


def where(record: Record) -> str:
    return f"cells/{record.cell.key}/record.json"


def _settled(counts: list[Count], measured: Mapping[Place, float], stated: Mapping[Place, float]) -> list[Count]:
    """The counts with what the metrics themselves say in place of what was summed here."""
    rest = [count for count in counts if count.exact or count.place not in measured]
    kept = {count.place for count in rest if count.is_evidence}
    own = [Count(at, value, PREDICTIONS) for at, value in measured.items() if at in stated and at not in kept]
    return [*rest, *own]


def _ran_alike(record: Record, teacher: Record) -> bool:
    one, other = record.cell.recipe, teacher.cell.recipe
    places = (record.values.get("fingerprint"), teacher.values.get("fingerprint"))
    return places[0] == places[1] and one.get("channels_last") == other.get("channels_last")


def _is_other(files: CellFiles, record: Record, name: str) -> bool:
    return any(path.name == name for path in altered(files, {name: record.files[name]}))


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)[:DIGITS]
    except OSError:
        return "not to be read"
