"""A results folder held against itself: plans, records, the files beside them, and what ties them together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kdharness.errors import UserError
from kdharness.planning.cell import Cell
from kdharness.results.checks.cell_check import CellChecks, Settle, where
from kdharness.results.checks.circumstances import findings_of_evidence, findings_of_length
from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.checks.identity import faults_of_cell
from kdharness.results.checks.peers import findings_of_peers, findings_of_roles, findings_of_seeds
from kdharness.results.checks.tally import Tally
from kdharness.results.checks.ties import Targets, findings_of_copies, findings_of_sources
from kdharness.results.contents import Contents
from kdharness.results.reading import Fault, json_object
from kdharness.results.record import Record, Status
from kdharness.results.seal import DIGEST
from kdharness.results.store import ResultsFolder

OTHER_VALUES = "its values do not match its digest"
OTHER_CELL = "it is the record of cell"


@dataclass
class Verification:
    """What was found. contents: the folder, as it was read. tally: of numbers."""

    contents: Contents
    findings: list[Finding] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def wrong(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_wrong]

    def lines(self) -> Iterator[str]:
        """The counts, for people."""
        contents = self.contents
        statuses = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in contents.counts.items())
        yield f"{len(contents.planned)} cells planned ({statuses}), {len(contents.records)} records"
        yield from self.tally.lines()
        if absent := _absent_weights(contents):
            yield f"the weights of {absent} cells are not here: their digests were not looked at"
        kinds = Counter(finding.kind.value for finding in self.findings)
        yield "found: " + ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) if kinds else "all is well"


def verify_folder(folder: ResultsFolder, settle: Settle, always: bool = False) -> Verification:
    """UserError for a folder without plans and records. settle, always: as of CellChecks."""
    contents = folder.load(trusts_digests=False)
    if contents.foreign is not None or not (contents.plans or contents.records or contents.faults):
        raise UserError(f"{folder.path} has neither plans nor records: there is nothing to hold its tables against")
    found = Verification(contents)
    checks = CellChecks(contents, settle, always)
    found.findings += _of_plans(folder, contents)
    found.findings += _of_unusable(folder, contents, checks)
    targets = Targets()
    for record in _in_order(contents.records):
        found.findings += _of_record(record, contents, checks, found.tally)
        if record.status is Status.OK and (labels := checks.labels(record)):
            targets.add(record, labels)
    ok = {key: record for key, record in contents.records.items() if record.status is Status.OK}
    found.findings += [*targets.findings(), *findings_of_copies(ok), *findings_of_length(ok.values())]
    found.findings += findings_of_evidence(ok.values())
    found.findings += [*_of_settings(contents), *_of_completeness(folder, contents)]
    planned = [entry.cell for entry in contents.planned.values()]
    found.findings += [*findings_of_peers("plans", planned), *findings_of_seeds(planned)]
    return found


def _in_order(records: Mapping[str, Record]) -> list[Record]:
    """Those with the same teachers one after the other."""
    return sorted(records.values(), key=lambda r: ([s.cell for s in r.cell.reference_teachers], r.cell.key))


def _of_record(record: Record, contents: Contents, checks: CellChecks, tally: Tally) -> Iterator[Finding]:
    for fault in faults_of_cell(record.cell):
        yield Finding(Kind.EDITED, where(record), fault)
    if record.status in (Status.SKIPPED, Status.NOT_RUN):
        yield Finding(Kind.EDITED, where(record), f"no run writes a record that is {record.status.value}")
    yield from checks.files(record)
    if record.status is Status.OK:
        yield from findings_of_sources(where(record), record, contents.records)
        yield from checks.numbers(record, tally)


def _of_settings(contents: Contents) -> Iterator[Finding]:
    """Records that ran under another protocol, or with other deviations, than any plan says now."""
    known: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for plan in contents.plans:
        for entry in plan.cells:
            known[entry.cell.key].add((entry.cell.protocol, entry.cell.deviations))
    for key, record in contents.records.items():
        own = (record.cell.protocol, record.cell.deviations)
        if key in known and own not in known[key]:
            protocol, deviations = sorted(known[key])[0]
            then, now = (f"protocol {p}, deviations {shown(d)}" for p, d in (own, (protocol, deviations)))
            yield Finding(Kind.DOUBT, where(record), f"it ran under {then}; its plan says {now}")


def _of_plans(folder: ResultsFolder, contents: Contents) -> Iterator[Finding]:
    for path, fault in folder.plans.faults().items():
        yield Finding(_kind(fault), f"plans/{path.name}", fault.reason)
    if not folder.plans.paths():
        yield Finding(Kind.MISSING, "plans", "there is no plan: nobody knows what was asked for")
    checked: set[int] = set()
    for path, plan in zip(_readable(folder), contents.plans, strict=True):
        yield from findings_of_roles(f"plans/{path.name}", plan)
        for entry in plan.cells:
            if id(entry.cell) not in checked:
                checked.add(id(entry.cell))
                for fault_of_cell in faults_of_cell(entry.cell):
                    yield Finding(Kind.EDITED, f"plans/{path.name}", f"{entry.cell.label}: {fault_of_cell}")


def _readable(folder: ResultsFolder) -> list[Path]:
    faults = folder.plans.faults()
    return [path for path in folder.plans.paths() if path not in faults]


def _of_unusable(folder: ResultsFolder, contents: Contents, checks: CellChecks) -> Iterator[Finding]:
    """Records that cannot be used; of those whose values are others than when they were written, which."""
    for key, fault in contents.faults.items():
        path = f"cells/{key}/record.json"
        yield Finding(_kind(fault), path, fault.reason)
        record = _unsealed(folder.cell(key).record) if fault.reason == OTHER_VALUES else None
        if record is not None and record.cell.key == key:
            yield from (Finding(Kind.EDITED, path, each) for each in faults_of_cell(record.cell))
            if record.status is Status.OK:
                yield from checks.numbers(record, Tally())


def _kind(fault: Fault) -> Kind:
    if fault.reason.startswith(OTHER_CELL):
        return Kind.FOREIGN
    return Kind.EDITED if fault.reason == OTHER_VALUES else Kind.DAMAGED


def _unsealed(path: Path) -> Record | None:
    """What an edited record says now; None where it is none."""
    try:
        data, _ = json_object(path)
        return Record.from_json({name: value for name, value in data.items() if name != DIGEST})
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _of_completeness(folder: ResultsFolder, contents: Contents) -> Iterator[Finding]:
    """Cells without a record and without a reason, and records that nobody asked for."""
    waiting = {row["cell"]: row for row in contents.rows if row["status"] == Status.NOT_RUN}
    for key, row in waiting.items():
        if not row.get("error_message") and key not in contents.running and key not in contents.outdated:
            yield Finding(Kind.MISSING, f"cells/{key}", f"{contents.planned[key].cell.label}: it has no record")
    known = {entry.cell.key for plan in contents.plans for entry in plan.cells}
    for key, record in contents.stale.items():
        yield _of_stale(key, record.cell, key in known)
    for key in folder.cell_keys():
        if key not in contents.records and key not in contents.faults and key not in known:
            yield Finding(Kind.FOREIGN, f"cells/{key}", "it has no record, and no plan asks for it")


def _of_stale(key: str, cell: Cell, is_known: bool) -> Finding:
    path = f"cells/{key}/record.json"
    if is_known:
        return Finding(Kind.DOUBT, path, f"newer plans have another cell in place of {cell.label}; it is in no table")
    return Finding(Kind.FOREIGN, path, f"no plan asks for {cell.label} of benchmark '{cell.benchmark}'")


def _absent_weights(contents: Contents) -> int:
    """Of records that say that weights were kept."""
    ok = (record for record in contents.current.values() if record.weights)
    return sum(not contents.files_of(record.cell.key).model.exists() for record in ok)
