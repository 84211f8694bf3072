"""Rows of somebody's table, looked at one by one."""

from __future__ import annotations

from typing import Any

import fabricate
import pytest

from kdharness.planning.plan import PlannedCell
from kdharness.results.record import Record, Status
from kdharness.results.row_faults import faults_of_row, label_of
from kdharness.results.rows import Row, rows_of


def row_of(record: Record) -> Row:
    (row,) = rows_of({record.cell.key: PlannedCell(record.cell)}, {record.cell.key: record})
    return row


def row(**changes: Any) -> Row:
    return {**row_of(fabricate.record(fabricate.cell(variant="temperature=2"), 91.0)), **changes}


@pytest.mark.parametrize("status", [Status.OK, Status.FAILED, Status.SKIPPED, Status.INTERRUPTED])
def test_what_a_run_writes_is_sound(status: Status) -> None:
    assert list(faults_of_row(row_of(fabricate.record(fabricate.cell(), 91.0, status)))) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"top1": 100.5}, "top1 100.5 is not between 0 and 100"),
        ({"top1": -0.1}, "top1 -0.1 is not between 0 and 100"),
        ({"top1": "96.1 ± 0.2"}, "top1 '96.1 ± 0.2' is no number"),
        ({"top1": "96.1%"}, "top1 '96.1%' is no number; did you mean 96.1?"),
        ({"top1": "96,1"}, "top1 '96,1' is no number; did you mean 96.1?"),
        ({"top1": "1_0"}, "top1 '1_0' is no number"),
        ({"student_macs": "1,234,567"}, "student_macs '1,234,567' is no number; did you mean 1234567?"),
        ({"student_macs": "1,234"}, "student_macs '1,234' is no number; did you mean 1.234 or 1234?"),
        ({"student_macs": "9" * 30}, f"student_macs {'9' * 30} is too large"),
        ({"top1": "nan"}, "top1 'nan' is no number"),
        ({"top1": "inf"}, "top1 'inf' is no number"),
        ({"top1": ""}, "it is ok, and 'top1' is empty"),
        ({"teacher_agreement": "101"}, "teacher_agreement 101 is not between 0 and 100"),
        ({"nll": -1}, "nll -1 is not 0 or more"),
        ({"ece": 1.5}, "ece 1.5 is not between 0 and 1"),
        ({"seed": "1.5"}, "seed 1.5 is no whole number"),
        ({"seed": None}, "'seed' is empty"),
        ({"track": ""}, "'track' is empty"),
        ({"track": "slow"}, "track 'slow' is none of default, published"),
        ({"selection": "best"}, "selection 'best' is none of last, validation"),
        ({"status": "great"}, "status 'great' is none of ok, failed, oom, timeout, interrupted, skipped, not_run, "
         "unreadable"),
        ({"status": "failed"}, "it has a top1, and is 'failed'"),
        ({"role": "referee"}, "role 'referee' is none of student, teacher, step, spread"),
        ({"cell": "=1+1"}, "cell '=1+1' is no key of 20 hexadecimal digits"),
        ({"parameters": "[1]"}, "parameters '[1]' is no JSON object"),
        ({"finished_at": "yesterday"}, "finished_at 'yesterday' is no time in ISO 8601"),
        ({"fingerprint": ""}, "it is ok, and 'fingerprint' is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said(changes: dict[str, Any], fault: str) -> None:
    assert list(faults_of_row(row(**changes))) == [fault]


def test_an_endless_budget_is_one() -> None:
    assert list(faults_of_row(row(epsilon="inf", delta="0"))) == []


def test_a_row_is_called_by_its_cell_and_by_what_it_is() -> None:
    given = row(seed="3", dataset="di\x1b[31mgits")
    assert label_of(given) == f"cell {given['cell']} (kd[temperature=2] conv32:conv16 di [31mgits clean seed 3)"
