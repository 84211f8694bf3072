"""Cells, records and results folders made up for tests: no training, every number known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from kdharness.api.requirements import Pair
from kdharness.planning.cell import STUDENT, TEACHER, Cell, TeacherSource, digest
from kdharness.planning.plan import Plan, PlannedCell
from kdharness.results.record import MetricRow, Record, Status
from kdharness.results.rows import rows_of
from kdharness.results.store import ResultsFolder
from kdharness.results.table import frame_of

WITHOUT_TEACHER = ("vanilla", "label_smoothing")


def teacher_cell(model: str = "conv32", seed: int = 0, **changes: Any) -> Cell:
    return cell("vanilla", seed, teacher=None, student=model, role=TEACHER, **changes)


def cell(
    method: str = "kd",
    seed: int = 0,
    teacher: str | TeacherSource | None = "conv32",
    student: str = "conv16",
    variant: str = "",
    role: str = STUDENT,
    **changes: Any,
) -> Cell:
    """A consistent cell; `changes` are fields of Cell. Methods of WITHOUT_TEACHER have none whatever is asked."""
    sources: tuple[TeacherSource, ...] = ()
    shared = {k: v for k, v in changes.items() if k not in ("regime", "parameters", "method_revision", "teachers")}
    if isinstance(teacher, TeacherSource):
        sources = (teacher,)
    elif teacher and method not in WITHOUT_TEACHER:
        sources = tuple(TeacherSource(name, teacher_cell(name, **shared).key) for name in teacher.split("+"))
    fields: dict[str, Any] = {
        "benchmark": "tiny", "protocol": "p1", "deviations": "", "dataset": "digits", "dataset_parameters": {},
        "scenario": "clean", "role": role, "method": method, "variant": variant, "parameters": {"weight": 0.5},
        "method_package": "kdharness", "method_revision": "1", "pair": Pair(tuple(s.model for s in sources), student),
        "teachers": sources, "reference_teachers": sources, "seed": seed, "regime": "", **changes,
    }  # fmt: skip
    identity = {k: str(v) for k, v in fields.items()}
    scenario = {"kind": "split"} if str(fields["scenario"]).startswith("split") else {}
    subset = "teacher" if role == TEACHER else "train"
    document = {"identity": identity, "scenario": scenario, "recipe": {"epochs": 2}, "subset": subset}
    return Cell(key=digest(document), document=document, **fields)


def record(of: Cell, top1: float | None = 90.0, status: Status = Status.OK, message: str = "", **values: Any) -> Record:
    """A record with every usual column filled when the status is ok."""
    measured: dict[str, Any] = {}
    if status is Status.OK:
        measured = {
            "selection": "last", "top1": top1, "top5": 99.0, "nll": 0.3, "ece": 0.02, "epochs": 2, "train_seconds": 1.5,
            "shared_seconds": 1.5, "alone_seconds": 2.5, "group_size": 4, "images_per_second": 1000.0,
            "peak_memory_bytes": 64 * 2**20,
            "student_parameters": 12345, "student_macs": 67890, "device": "cpu", "precision": "float32",
            "fingerprint": "cpu-abc", "kdharness_version": "0.1.0", "torch_version": "2.9.0", **values,
        }  # fmt: skip
        if of.teachers:
            measured.setdefault("teacher_top1", 97.0)
    failed = status not in (Status.OK, Status.INTERRUPTED)
    return Record(
        cell=of,
        status=status,
        values=measured,
        metrics=(MetricRow("student", "test", "top1", top1),) if measured and top1 is not None else (),
        error_type="RuntimeError" if failed else "",
        error_message=message,
        traceback="Traceback ..." if failed else "",
        started_at="2025-01-01T00:00:00+00:00",
        finished_at="2025-01-01T00:01:00+00:00" if status is not Status.INTERRUPTED else "",
    )


def plan(cells: Sequence[Cell], skips: Mapping[str, str] | None = None, **changes: Any) -> Plan:
    """skips: reasons by cell key."""
    entries = tuple(PlannedCell(c, (skips or {}).get(c.key, "")) for c in cells)
    return Plan(**{"benchmark": "tiny", "cells": entries, "created_at": "2025-01-01T00:00:00+00:00", **changes})


def scores_table(scores: Mapping[str, Sequence[float | None]], **changes: Any) -> pd.DataFrame:
    """A table of one setting: top-1 by method ('name' or 'name[variant]') and seed; None: that cell failed."""
    return table_of(records_of(scores, **changes))


def records_of(scores: Mapping[str, Sequence[float | None]], **changes: Any) -> list[Record]:
    records = []
    for name, values in scores.items():
        method, _, variant = name.rstrip("]").partition("[")
        for seed, value in enumerate(values):
            status = Status.FAILED if value is None else Status.OK
            records.append(record(cell(method, seed, variant=variant, **changes), value, status, ""))
    return records


def table_of(records: Sequence[Record]) -> pd.DataFrame:
    planned = {r.cell.key: PlannedCell(r.cell) for r in records}
    return frame_of(rows_of(planned, {r.cell.key: r for r in records}))


def write(path: Path, cells: Sequence[Cell], records: Sequence[Record], **changes: Any) -> ResultsFolder:
    folder = ResultsFolder(path)
    folder.plans.write(plan(cells, **changes))
    for each in records:
        folder.write_record(each)
    return folder


SCORES: dict[str, list[float | None]] = {
    "vanilla": [88.0, 88.5, 87.9, 88.2, 88.4],
    "kd": [91.0, 91.4, 90.9, 91.3, 91.2],
    "kd[temperature=2]": [90.0, 90.2, 90.9, 90.1, 90.4],
    "label_smoothing": [89.0, 88.9, 89.2, 89.1, 89.4],
    "attention_transfer": [91.9, 92.5, 92.0, 92.2, 92.3],
    "broken": [None] * 5,
}


def tiny_world(path: Path, **changes: Any) -> ResultsFolder:
    """`<path>/tiny`: five seeds, a failed method, a skipped one, one cell cut short and one never started."""
    teacher = teacher_cell(**changes)
    records = [record(teacher, 97.0), *records_of(SCORES, **changes)]
    records = [r if r.status is Status.OK else _with_message(r, "loss became nan") for r in records]
    skipped = [cell("hint", seed, **changes) for seed in range(5)]
    cut, waiting = cell("slow", 0, **changes), cell("slow", 1, **changes)
    records.append(record(cut, None, Status.INTERRUPTED))
    cells = [*(r.cell for r in records), *skipped, waiting]
    skips = {c.key: "the student has no stage of the teacher's shape" for c in skipped}
    return write(path / "tiny", cells, records, skips=skips, note="A smoke test, not a ranking.")


def _with_message(of: Record, message: str) -> Record:
    return replace(of, error_message=message)
