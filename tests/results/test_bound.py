"""A record is tied to its weights, a student to the weights that taught it."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import fabricate
import pytest

from kdharness.planning.cell import TEACHER, Cell, TeacherSource
from kdharness.process.collector import collector_paused
from kdharness.results.bound import DAMAGED, LOST, outdated, weights_fault
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder

GOOD, OTHER = (sha256(content).hexdigest() for content in (b"good", b"other"))


@pytest.mark.parametrize(
    ("there", "known", "fault"),
    [
        (b"good", GOOD, ""),
        (b"other", GOOD, DAMAGED),
        (b"", GOOD, DAMAGED),
        (None, GOOD, LOST),
        (b"good", "", ""),
        (None, "", LOST),
    ],
)
def test_what_is_wrong_with_weights(tmp_path: Path, there: bytes | None, known: str, fault: str) -> None:
    folder = ResultsFolder(tmp_path)
    cell = fabricate.cell()
    record = Record(cell, Status.OK, files={"model.safetensors": known} if known else {})
    folder.write_record(record)
    if there is not None:
        folder.cell(cell.key).model.write_bytes(there)
    assert weights_fault(folder.cell(cell.key), record) == fault


def chain() -> tuple[Cell, Cell, Cell]:
    """A teacher, what it taught, and what that taught."""
    teacher, assistant, student = (fabricate.cell("kd", seed) for seed in range(3))
    return replace(teacher, role=TEACHER), assistant, student


def records_of(teacher: str, taught: str, status: Status = Status.OK) -> dict[str, Record]:
    """teacher: the digest of its weights now; taught: of those that the assistant was trained with."""
    cells = chain()
    found = [
        Record(cells[0], status, files={"model.safetensors": teacher} if teacher else {}),
        Record(cells[1], Status.OK, files={"model.safetensors": GOOD}, sources={cells[0].key: taught}),
        Record(cells[2], Status.OK, sources={cells[1].key: GOOD}),
    ]
    return {record.cell.key: record for record in found}


@pytest.mark.parametrize(
    ("teacher", "taught", "status", "stale"),
    [
        (GOOD, GOOD, Status.OK, 0),
        (OTHER, GOOD, Status.OK, 2),  # the student too, which was taught by what is stale
        (OTHER, GOOD, Status.INTERRUPTED, 0),  # until the teacher is there again, nobody knows
        ("", GOOD, Status.OK, 0),
    ],
)
def test_what_was_taught_by_other_weights_is_outdated(teacher: str, taught: str, status: Status, stale: int) -> None:
    first, assistant, student = chain()
    expected = {assistant.key: first.key, student.key: assistant.key} if stale else {}
    assert outdated(records_of(teacher, taught, status)) == expected


def test_what_is_outdated_is_in_no_table_and_its_row_says_why(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    teacher, student = replace(fabricate.cell("vanilla"), role=TEACHER), fabricate.cell("kd")
    student = replace(student, teachers=(TeacherSource("conv32", teacher.key),))
    folder.plans.write(fabricate.plan([teacher, student]))
    folder.cell(teacher.key).folder.mkdir(parents=True)
    folder.cell(teacher.key).model.write_bytes(b"good")
    folder.write_record(fabricate.record(teacher))
    for sources, status, top1 in (({teacher.key: GOOD}, "ok", 91.0), ({teacher.key: OTHER}, "not_run", None)):
        folder.write_record(replace(fabricate.record(student, 91.0), sources=sources))
        contents = folder.load()
        (row,) = [row for row in contents.rows if row["cell"] == student.key]
        assert (row["status"], row.get("top1")) == (status, top1)
        assert contents.counts == ({"ok": 2} if status == "ok" else {"ok": 1, "not_run": 1})
        assert (student.key in set(contents.metrics_frame["cell"])) == (status == "ok")
    assert "stale: a teacher has other weights now" in row["error_message"]


def test_a_record_that_is_set_aside_stays_beside_its_place(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    cell = fabricate.cell()
    files = folder.cell(cell.key)
    for number in (1, 2):
        folder.write_record(fabricate.record(cell, 90.0 + number))
        content = files.record.read_bytes()
        files.checkpoint.touch()
        folder.set_aside(cell.key)
        assert folder.read_record(cell.key) is None
        assert (files.folder / f"record.{number}.json").read_bytes() == content
        assert not files.checkpoint.exists(), "what is made again begins anew"
    assert folder.records() == {}


def test_what_is_not_ok_is_not_set_aside(tmp_path: Path) -> None:
    """It goes on from its checkpoint."""
    folder = ResultsFolder(tmp_path)
    cell = fabricate.cell()
    folder.write_record(fabricate.record(cell, None, Status.INTERRUPTED))
    folder.cell(cell.key).checkpoint.touch()
    folder.set_aside(cell.key)
    assert folder.read_record(cell.key) is not None
    assert folder.cell(cell.key).checkpoint.exists()


class Records(dict[str, Record]):
    """Of which it can be told that nobody holds them any more."""


def test_what_was_looked_at_is_not_held_until_the_collector_comes() -> None:
    """It is as much as a large folder's records."""
    gc.collect()
    with collector_paused():
        record = fabricate.record(fabricate.cell())
        records = Records({record.cell.key: record})
        seen = weakref.ref(records)
        assert outdated(records) == {}
        del records
        assert seen() is None
