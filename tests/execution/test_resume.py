"""Which planned cells a second run takes up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_groups import make_cell, make_plan, make_teacher

from kdharness.execution.rerun import Rerun
from kdharness.execution.resume import resume
from kdharness.results.record import Record, Status

CELLS = {status: make_cell(status.value) for status in Status}
RECORDS = {cell.key: Record(cell, status) for status, cell in CELLS.items() if status is not Status.NOT_RUN}


@pytest.mark.parametrize(
    ("rerun", "expected"),
    [
        (None, {Status.INTERRUPTED, Status.NOT_RUN}),
        (Rerun.FAILED, {Status.INTERRUPTED, Status.NOT_RUN, Status.FAILED, Status.OOM, Status.TIMEOUT}),
        (Rerun.ALL, set(Status)),
    ],
)
def test_what_is_run_again(rerun: Rerun | None, expected: set[Status]) -> None:
    found = resume(make_plan(*CELLS.values()), RECORDS, lambda record: "", rerun)
    assert {cell.method for cell in found.to_run} == {status.value for status in expected}
    assert set(found.kept.values()) == set(Status) - expected


def test_the_plan_s_order_is_kept() -> None:
    cells = [make_cell(name) for name in "abc"]
    assert list(resume(make_plan(*cells), {}, lambda record: "").to_run) == cells


def test_a_skipped_cell_is_never_run() -> None:
    cell = make_cell("ofd")
    found = resume(make_plan(cell, skip=((cell, "no stages"),)), {}, lambda record: "", Rerun.ALL)
    assert (found.to_run, found.kept) == ((), {cell.key: Status.SKIPPED})
    assert "no stages" in found.unavailable[cell.key]


@pytest.mark.parametrize(("student_done", "again"), [(False, ["vanilla", "kd"]), (True, [])])
def test_lost_weights_are_made_again_when_they_are_needed(student_done: bool, again: list[str]) -> None:
    teacher = make_teacher()
    student = make_cell("kd", teachers=(teacher,))
    records = {teacher.key: Record(teacher, Status.OK)}
    if student_done:
        records[student.key] = Record(student, Status.OK)
    found = resume(make_plan(teacher, student), records, lambda record: "lost")
    assert [cell.method for cell in found.to_run] == again


def test_a_failure_that_waits_says_how_to_try_it_again() -> None:
    teacher = make_teacher()
    record = Record(teacher, Status.FAILED, error_message="loss is NaN")
    found = resume(make_plan(teacher), {teacher.key: record}, lambda record: "")
    assert found.unavailable == {
        teacher.key: "teacher conv32 seed 0 failed: loss is NaN (--rerun failed tries it again)"
    }


def test_a_cell_with_secret_noise_is_made_once() -> None:
    """Another training would be another release. What no longer stands, or never ended well, is made all the same."""
    cell = replace(make_cell("noisy"), secret=True)
    done = {cell.key: Record(cell, Status.OK)}
    kept = resume(make_plan(cell), done, lambda record: "", Rerun.ALL)
    assert (kept.to_run, kept.kept) == ((), {cell.key: Status.OK})
    assert [("noisy" in line, "its noise is secret" in line) for line in kept.notes] == [(True, True)]
    assert resume(make_plan(cell), done, lambda record: "").notes == ()
    failed = {cell.key: Record(cell, Status.FAILED)}
    assert resume(make_plan(cell), failed, lambda record: "", Rerun.ALL).to_run == (cell,)
    teacher = make_teacher()
    taught = replace(make_cell("noisy", teachers=(teacher,)), secret=True)
    records = {
        teacher.key: Record(teacher, Status.OK, files={"model.safetensors": "new"}),
        taught.key: Record(taught, Status.OK, sources={teacher.key: "old"}),
    }
    assert taught in resume(make_plan(teacher, taught), records, lambda record: "", Rerun.ALL).to_run
