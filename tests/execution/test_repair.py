"""Weights that are lost or damaged are made again by the same command, and what a killed worker did stays done."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_groups import jobs_seen, make_cell, make_plan, make_teacher
from test_run_local import record_of, run

from kdharness.execution.rerun import Rerun
from kdharness.execution.resume import resume
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder


def world(method: str = "vanilla") -> tuple[Plan, Cell, Cell, Cell]:
    """A plan, its teacher, a student, and a student without a teacher."""
    teacher = make_teacher(method=method)
    student, plain = make_cell("kd", teachers=(teacher,)), make_cell("ce")
    return make_plan(teacher, student, plain), teacher, student, plain


def methods_of(path: Path) -> list[list[str]]:
    """Of each job."""
    return [methods for _, _, methods in jobs_seen(path)]


@pytest.mark.parametrize("drifts", [True, False])
def test_damaged_weights_are_made_again_and_so_are_the_students_of_others(tmp_path: Path, drifts: bool) -> None:
    plan, teacher, student, plain = world("drifts" if drifts else "vanilla")
    run(tmp_path, plan)
    before, old = record_of(tmp_path, student.key), record_of(tmp_path, teacher.key)
    files = ResultsFolder(tmp_path).cell(teacher.key)
    files.model.write_bytes(b"other valid weights")
    begun = len(jobs_seen(tmp_path))
    outcome, shown = run(tmp_path, plan)
    assert outcome.exit_code == 0
    assert f"{teacher.label}: its weights are not those of its record; it is trained again" in shown
    assert methods_of(tmp_path)[begun:] == ([["drifts"], ["kd"]] if drifts else [["vanilla"]])
    assert ("kd conv32:conv16 digits seed 0: stale" in shown) == drifts
    assert (files.folder / "record.1.json").is_file()
    now = record_of(tmp_path, student.key)
    assert now.sources == {teacher.key: record_of(tmp_path, teacher.key).weights}
    assert (now.sources != before.sources) == drifts
    assert (record_of(tmp_path, teacher.key).weights != old.weights) == drifts
    assert not (ResultsFolder(tmp_path).cell(plain.key).folder / "record.1.json").exists()
    assert run(tmp_path, plan)[0].exit_code == 0
    assert len(jobs_seen(tmp_path)) == begun + 1 + drifts, "and then all is well"


def test_lost_weights_that_nothing_needs_are_said(tmp_path: Path) -> None:
    plan, teacher, _, _ = world()
    run(tmp_path, plan)
    ResultsFolder(tmp_path).cell(teacher.key).model.unlink()
    begun = len(jobs_seen(tmp_path))
    outcome, shown = run(tmp_path, plan)
    assert (outcome.exit_code, len(jobs_seen(tmp_path))) == (0, begun)
    assert f"{teacher.label}: its weights are lost; nothing that is to be run needs them" in shown
    wider = make_plan(*(planned.cell for planned in plan.cells), make_cell("at", teachers=(teacher,)))
    outcome, shown = run(tmp_path, wider)
    assert (outcome.exit_code, methods_of(tmp_path)[begun:]) == (0, [["vanilla"], ["at"]])
    assert f"{teacher.label}: its weights are lost; it is trained again" in shown


def test_a_repair_that_was_interrupted_still_makes_students_stale(tmp_path: Path) -> None:
    plan, teacher, student, _ = world("drifts")
    run(tmp_path, plan)
    folder = ResultsFolder(tmp_path)
    folder.set_aside(teacher.key)
    folder.write_record(Record(teacher, Status.INTERRUPTED))
    begun = len(jobs_seen(tmp_path))
    outcome, _ = run(tmp_path, plan)
    assert (outcome.exit_code, methods_of(tmp_path)[begun:]) == (0, [["drifts"], ["kd"]])
    assert record_of(tmp_path, student.key).sources == {teacher.key: record_of(tmp_path, teacher.key).weights}


def test_what_is_stale_when_the_run_begins_is_run_again() -> None:
    _, teacher, student, plain = world()
    records = {
        teacher.key: Record(teacher, Status.OK, files={"model.safetensors": "new"}),
        student.key: Record(student, Status.OK, sources={teacher.key: "old"}),
        plain.key: Record(plain, Status.OK),
    }
    found = resume(make_plan(teacher, student, plain), records, lambda record: "")
    assert found.to_run == (student,)
    assert found.notes[0].startswith(f"{student.label}: stale")
    assert resume(make_plan(teacher, student, plain), records, lambda record: "", Rerun.ALL).notes == ()


@pytest.mark.parametrize("beside", [0, 2])
def test_a_worker_that_dies_after_its_record_was_written_has_done_its_cell(tmp_path: Path, beside: int) -> None:
    cells = [make_cell("dies_at_its_end"), *(make_cell("kd", seed) for seed in range(beside))]
    outcome, _ = run(tmp_path, make_plan(*cells))
    assert outcome.exit_code == 0
    record = record_of(tmp_path, cells[0].key)
    assert (record.status, record.attempts) == (Status.OK, 1)
    assert sum("dies_at_its_end" in methods for methods in methods_of(tmp_path)) == 1
    assert not (ResultsFolder(tmp_path).cell(cells[0].key).folder / "record.1.json").exists()
