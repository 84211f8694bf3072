"""Which cells run together, and what becomes of those whose worker died."""

from __future__ import annotations

import pytest
from fake_groups import make_cell, make_teacher

from kdharness.api.executors import CellAborted, CellFinished, Job, JobFinished, JobLost, WorkerError
from kdharness.execution.schedule import Scheduler, Verdict, group_size, pick_group
from kdharness.planning.cell import Cell
from kdharness.results.record import Record, Status


def finish(scheduler: Scheduler, job: Job, status: Status = Status.OK, message: str = "") -> None:
    for cell in job.cells:
        scheduler.handle(CellFinished(job.number, Record(cell, status, error_message=message)))
    scheduler.handle(JobFinished(job.number))


def next_job(scheduler: Scheduler) -> Job:
    job = scheduler.next_job()
    assert job is not None
    return job


def methods(job: Job) -> list[str]:
    return [cell.method for cell in job.cells]


def drain(scheduler: Scheduler) -> list[Job]:
    jobs = []
    while (job := scheduler.next_job()) is not None:
        jobs.append(job)
        finish(scheduler, job)
    return jobs


def students(*names: str, teacher: Cell | None = None) -> list[Cell]:
    return [make_cell(name, teachers=(teacher,) if teacher else ()) for name in names]


def test_every_cell_is_handed_out_once() -> None:
    teacher = make_teacher()
    cells = [teacher, *students("kd", "at", teacher=teacher), *students("vanilla")]
    jobs = drain(Scheduler(cells, (), slots=2))
    assert sorted(c.key for job in jobs for c in job.cells) == sorted(c.key for c in cells)


def test_a_required_cell_comes_first_and_alone_in_its_kind() -> None:
    teacher = make_teacher()
    scheduler = Scheduler([*students("vanilla"), teacher, *students("kd", teacher=teacher)], (), slots=1)
    first = next_job(scheduler)
    assert first.cells == (teacher,)
    second = next_job(scheduler)
    assert methods(second) == ["vanilla"]
    assert scheduler.next_job() is None
    finish(scheduler, first)
    assert methods(next_job(scheduler)) == ["kd"]


def test_a_done_teacher_is_not_run_again() -> None:
    teacher = make_teacher()
    scheduler = Scheduler(students("kd", "at", teacher=teacher), [teacher.key], slots=1)
    assert methods(next_job(scheduler)) == ["kd", "at"]


@pytest.mark.parametrize(
    "other",
    [
        make_cell("b", seed=1),
        make_cell("b", dataset="fashion"),
        make_cell("b", recipe={"epochs": 5}),
        make_cell("b", subset="half"),
        make_cell("b", scenario={"name": "noise40"}),
        make_cell("b", evaluation={"validation": 100}),
    ],
)
def test_what_shares_no_data_shares_no_group(other: Cell) -> None:
    assert [methods(job) for job in drain(Scheduler([make_cell("a"), other], (), slots=1))] == [["a"], ["b"]]


def test_groups_keep_slots_busy_and_stay_small_enough() -> None:
    assert group_size(cells=71, slots=2, max_group=12) == 12
    assert group_size(cells=30, slots=4, max_group=12) == 3
    assert group_size(cells=1, slots=8, max_group=12) == 1
    assert group_size(cells=7, slots=1, max_group=12) == 7


def test_cells_of_one_teacher_stay_together() -> None:
    one, two = make_teacher("conv32"), make_teacher("conv64")
    cells = [*students("a", "b", "c", teacher=one), *students("d", "e", "f", teacher=two), *students("g")]
    assert [c.method for c in pick_group(cells, 4)] == ["a", "b", "c", "g"]
    assert [c.method for c in pick_group(cells, 6)] == ["a", "b", "c", "d", "e", "f"]


def test_too_many_cells_of_one_teacher_are_cut_evenly() -> None:
    teacher = make_teacher()
    cells = students(*"abcdefghijklm", teacher=teacher)
    assert len(pick_group(cells, 12)) == 7


def test_the_order_is_always_the_same() -> None:
    teacher = make_teacher()
    cells = [teacher, *students(*"abcdefgh", teacher=teacher), *students("vanilla")]
    runs = [[methods(job) for job in drain(Scheduler(cells, (), slots=2))] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_lost_worker_s_suspect_runs_alone_and_the_others_together() -> None:
    a, b, c, d = cells = students("a", "b", "c", "d")
    scheduler = Scheduler(cells, (), slots=1)
    job = next_job(scheduler)
    scheduler.handle(CellFinished(job.number, Record(a, Status.OK)))
    assert scheduler.handle(JobLost(job.number, b.key, "killed")) == []
    alone, together = next_job(scheduler), next_job(scheduler)
    assert (alone.cells, alone.alone, alone.attempts) == ((b,), True, {b.key: 2})
    assert (together.cells, together.alone) == ((c, d), False)


@pytest.mark.parametrize(
    ("changes", "status", "error_type"),
    [
        ({}, Status.FAILED, "WorkerDied"),
        ({"timed_out": True}, Status.TIMEOUT, "Timeout"),
        ({"out_of_memory": True}, Status.OOM, "WorkerDied"),
    ],
)
def test_a_suspect_that_dies_alone_is_final(changes: dict[str, bool], status: Status, error_type: str) -> None:
    (cell,) = cells = students("a")
    scheduler = Scheduler(cells, (), slots=1)
    scheduler.handle(JobLost(next_job(scheduler).number, cell.key, "killed", **changes))
    (verdict,) = scheduler.handle(JobLost(next_job(scheduler).number, cell.key, "killed by signal 11", **changes))
    assert (verdict.status, verdict.error_type, verdict.attempts) == (status, error_type, 2)
    assert "killed by signal 11" in verdict.message
    assert scheduler.next_job() is None
    assert scheduler.running == 0


def test_a_death_at_no_cell_tries_each_alone_once() -> None:
    cells = students("a", "b")
    scheduler = Scheduler(cells, (), slots=1)
    scheduler.handle(JobLost(next_job(scheduler).number, "", "exit code 1"))
    first = next_job(scheduler)
    (verdict,) = scheduler.handle(JobLost(first.number, "", "exit code 1"))
    assert (first.alone, verdict.cell, verdict.status) == (True, cells[0], Status.FAILED)
    finish(scheduler, next_job(scheduler))
    assert scheduler.next_job() is None


def test_memory_that_ran_out_beside_others_is_tried_alone_then_final() -> None:
    a, b = cells = students("a", "b")
    scheduler = Scheduler(cells, (), slots=1)
    job = next_job(scheduler)
    assert scheduler.handle(CellAborted(job.number, b.key, "no memory")) == []
    scheduler.handle(CellFinished(job.number, Record(a, Status.OK)))
    scheduler.handle(JobFinished(job.number))
    alone = next_job(scheduler)
    (verdict,) = scheduler.handle(CellAborted(alone.number, b.key, "no memory"))
    assert (verdict.cell, verdict.status, verdict.message) == (b, Status.OOM, "no memory")


def test_a_worker_s_error_fails_the_cells_without_a_record() -> None:
    a, b = cells = students("a", "b")
    scheduler = Scheduler(cells, (), slots=1)
    job = next_job(scheduler)
    scheduler.handle(CellFinished(job.number, Record(a, Status.OK)))
    verdicts = scheduler.handle(WorkerError(job.number, "DatasetMissing", "no data", "the traceback"))
    assert verdicts == [Verdict(b, Status.FAILED, "DatasetMissing", "no data", "the traceback", 1)]


def test_a_group_that_ends_in_silence_loses_no_cell() -> None:
    (a,) = cells = students("a")
    scheduler = Scheduler(cells, (), slots=1)
    (verdict,) = scheduler.handle(JobFinished(next_job(scheduler).number))
    assert (verdict.cell, verdict.status) == (a, Status.FAILED)


def test_a_failed_teacher_s_dependents_are_not_run() -> None:
    teacher = make_teacher("resnet56")
    assistant = make_cell("kd", role="teacher", student="resnet20", teachers=(teacher,))
    student = make_cell("takd", teachers=(assistant,))
    scheduler = Scheduler([teacher, assistant, student, make_cell("vanilla")], (), slots=1)
    finish(scheduler, next_job(scheduler), Status.FAILED, "loss is NaN\nsecond line")
    assert methods(next_job(scheduler)) == ["vanilla"]
    assert scheduler.next_job() is None
    reason = "teacher resnet56 seed 0 failed: loss is NaN"
    assert scheduler.not_run == {
        assistant.key: reason,
        student.key: f"teacher resnet20 seed 0 was not run: {reason}",
    }


def test_what_is_unavailable_or_unplanned_blocks_at_once() -> None:
    failed, absent = make_teacher("conv32"), make_teacher("conv64")
    one, two = make_cell("a", teachers=(failed,)), make_cell("b", teachers=(absent,))
    scheduler = Scheduler([one, two], (), slots=1, unavailable={failed.key: "teacher conv32 failed before"})
    assert scheduler.next_job() is None
    assert scheduler.not_run[one.key] == "teacher conv32 failed before"
    assert absent.key in scheduler.not_run[two.key]
