"""Which cells run together, and what becomes of those whose worker died."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fake_groups import make_cell, make_teacher

from kdharness.api.executors import CellAborted, CellFinished, JobFinished, JobLost, WorkerError
from kdharness.execution.schedule import CellEnd, Scheduler, group_size, halves, pick_group
from kdharness.planning.cell import Cell
from kdharness.planning.cell_group import CellGroup
from kdharness.results.record import Status


def finish(scheduler: Scheduler, job: CellGroup, status: Status = Status.OK, message: str = "") -> None:
    for cell in job.cells:
        scheduler.handle(CellFinished(job.number, cell.key, status.value, message))
    scheduler.handle(JobFinished(job.number))


def next_group(scheduler: Scheduler) -> CellGroup:
    job = scheduler.next_group()
    assert job is not None
    return job


def methods(job: CellGroup) -> list[str]:
    return [cell.method for cell in job.cells]


def drain(scheduler: Scheduler) -> list[CellGroup]:
    jobs = []
    while (job := scheduler.next_group()) is not None:
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
    first = next_group(scheduler)
    assert first.cells == (teacher,)
    second = next_group(scheduler)
    assert methods(second) == ["vanilla"]
    assert scheduler.next_group() is None
    finish(scheduler, first)
    assert methods(next_group(scheduler)) == ["kd"]


def test_a_done_teacher_is_not_run_again() -> None:
    teacher = make_teacher()
    scheduler = Scheduler(students("kd", "at", teacher=teacher), [teacher.key], slots=1)
    assert methods(next_group(scheduler)) == ["kd", "at"]


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


def test_long_cells_come_first_once_it_is_known_how_long_they_take() -> None:
    cells = [make_cell(name, seed) for seed in (0, 1) for name in ("short", "long", "middle")]
    scheduler = Scheduler(cells, (), slots=1, max_group=2)
    for cell, seconds in zip(cells, (1.0, 9.0, 4.0), strict=False):
        scheduler.note_seconds(cell, seconds)
    assert [methods(job) for job in drain(scheduler)] == [["long", "middle"], ["short"]] * 2


def test_cells_of_rows_come_after_those_that_have_their_teacher_run() -> None:
    teacher = make_teacher()
    cells = students("kd", "at", "dkd", "fitnet", "rkd", teacher=teacher)
    of_rows = {cell.key for cell in cells if cell.method in ("kd", "dkd", "rkd")}
    scheduler = Scheduler(cells, [teacher.key], slots=1, max_group=3, of_rows=of_rows)
    assert [methods(job) for job in drain(scheduler)] == [["at", "fitnet", "kd"], ["dkd", "rkd"]]
    assert [c.method for c in pick_group(cells, 12, of_rows)] == ["at", "fitnet", "kd", "dkd", "rkd"]


def test_the_order_is_always_the_same() -> None:
    teacher = make_teacher()
    cells = [teacher, *students(*"abcdefgh", teacher=teacher), *students("vanilla")]
    runs = [[methods(job) for job in drain(Scheduler(cells, (), slots=2))] for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_lost_worker_s_suspect_runs_alone_and_the_others_together() -> None:
    a, b, c, d = cells = students("a", "b", "c", "d")
    scheduler = Scheduler(cells, (), slots=1)
    job = next_group(scheduler)
    scheduler.handle(CellFinished(job.number, a.key, "ok"))
    assert scheduler.handle(JobLost(job.number, b.key, "killed")) == []
    alone, together = next_group(scheduler), next_group(scheduler)
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
    scheduler.handle(JobLost(next_group(scheduler).number, cell.key, "killed", **changes))
    (end,) = scheduler.handle(JobLost(next_group(scheduler).number, cell.key, "killed by signal 11", **changes))
    assert (end.status, end.error_type, end.attempts) == (status, error_type, 2)
    assert "killed by signal 11" in end.message
    assert scheduler.next_group() is None
    assert scheduler.running == 0


def test_a_death_at_no_cell_tries_each_alone_once() -> None:
    cells = students("a", "b")
    scheduler = Scheduler(cells, (), slots=1)
    scheduler.handle(JobLost(next_group(scheduler).number, "", "exit code 1"))
    first = next_group(scheduler)
    (end,) = scheduler.handle(JobLost(first.number, "", "exit code 1"))
    assert (first.alone, end.cell, end.status) == (True, cells[0], Status.FAILED)
    finish(scheduler, next_group(scheduler))
    assert scheduler.next_group() is None


@pytest.mark.parametrize(
    ("cells", "group", "sizes"),
    [(0, 4, []), (1, 12, [1]), (1, 1, [1]), (2, 2, [1, 1]), (3, 3, [1, 2]), (4, 4, [2, 2]), (12, 12, [6, 6]),
     (5, 12, [5]), (7, 12, [3, 4]), (13, 13, [6, 7]), (24, 24, [12, 12])],
)  # fmt: skip
def test_halves_are_equal_and_keep_the_order(cells: int, group: int, sizes: list[int]) -> None:
    them = students(*(f"m{number}" for number in range(cells)))
    parts = halves(them, group)
    assert [len(part) for part in parts] == sizes
    assert [cell for part in parts for cell in part] == them


def abort(scheduler: Scheduler, group: CellGroup, *names: str) -> list[CellEnd]:
    """These cells run out of memory, the others are ok; what becomes of it."""
    ends = []
    for cell in group.cells:
        if cell.method in names:
            ends += scheduler.handle(CellAborted(group.number, cell.key, "no memory"))
        else:
            scheduler.handle(CellFinished(group.number, cell.key, "ok"))
    assert scheduler.handle(JobFinished(group.number)) == []
    return ends


def test_a_group_that_ran_out_of_memory_is_halved_until_its_cells_are_alone() -> None:
    cells = students(*"abcdefgh")
    scheduler = Scheduler(cells, (), slots=1)
    assert abort(scheduler, next_group(scheduler), *"abcdefgh") == []
    first, second = next_group(scheduler), next_group(scheduler)
    assert [methods(first), methods(second)] == [list("abcd"), list("efgh")]
    assert (first.alone, first.attempts[cells[0].key]) == (False, 2)
    finish(scheduler, first)
    assert abort(scheduler, second, "e", "f", "h") == []
    single, pair = next_group(scheduler), next_group(scheduler)
    assert [(methods(g), g.alone) for g in (single, pair)] == [(["e"], True), (["f", "h"], False)]
    finish(scheduler, single)
    assert abort(scheduler, pair, "f", "h") == []
    last, lucky = next_group(scheduler), next_group(scheduler)
    (end,) = abort(scheduler, last, "f")
    assert (end.cell, end.status, end.error_type) == (cells[5], Status.OOM, "OutOfMemoryError")
    assert (end.message, end.attempts) == ("no memory", 4)
    assert methods(lucky) == ["h"]
    finish(scheduler, lucky)
    assert scheduler.next_group() is None


def test_what_ran_out_of_memory_waits_for_its_group_to_end() -> None:
    a, b = cells = students("a", "b")
    scheduler = Scheduler(cells, (), slots=1)
    group = next_group(scheduler)
    assert scheduler.handle(CellAborted(group.number, b.key, "no memory")) == []
    assert scheduler.next_group() is None
    scheduler.handle(CellFinished(group.number, a.key, "ok"))
    scheduler.handle(JobFinished(group.number))
    assert methods(next_group(scheduler)) == ["b"]


def test_what_some_cell_of_a_group_spoiled_is_tried_one_by_one() -> None:
    a, b, c = cells = students("a", "b", "c")
    scheduler = Scheduler(cells, (), slots=1)
    group = next_group(scheduler)
    scheduler.handle(CellFinished(group.number, a.key, "ok"))
    for cell in (b, c):
        assert scheduler.handle(CellAborted(group.number, cell.key, "changed", alone=True)) == []
    assert scheduler.handle(JobFinished(group.number)) == []
    first, second = next_group(scheduler), next_group(scheduler)
    assert [(g.cells, g.alone) for g in (first, second)] == [((b,), True), ((c,), True)]


def test_a_worker_killed_for_lack_of_memory_has_its_unfinished_cells_halved() -> None:
    a, b, c, d, e, f = cells = students(*"abcdef")
    scheduler = Scheduler(cells, (), slots=1)
    group = next_group(scheduler)
    scheduler.handle(CellFinished(group.number, a.key, "ok"))
    scheduler.handle(CellAborted(group.number, b.key, "no memory"))
    assert scheduler.handle(JobLost(group.number, d.key, "killed", out_of_memory=True)) == []
    first, second = next_group(scheduler), next_group(scheduler)
    assert (first.cells, second.cells) == ((b, c), (d, e, f))
    assert (first.alone, second.alone) == (False, False)
    assert scheduler.running == 2


def test_a_lost_device_is_nobody_s_fault_and_its_cells_are_tried_apart() -> None:
    a, b, c = cells = students("a", "b", "c")
    scheduler = Scheduler(cells, (), slots=1)
    group = next_group(scheduler)
    scheduler.handle(CellFinished(group.number, a.key, "ok"))
    assert scheduler.handle(JobLost(group.number, "", "illegal access", device_lost=True)) == []
    first, second = next_group(scheduler), next_group(scheduler)
    assert [(g.cells, g.alone) for g in (first, second)] == [((b,), True), ((c,), True)]
    lost = JobLost(first.number, "", "illegal access", device_lost=True, traceback="the traceback")
    (end,) = scheduler.handle(lost)
    assert end == CellEnd(b, Status.FAILED, "DeviceLost", "illegal access", "the traceback", 2)
    finish(scheduler, second)
    assert scheduler.next_group() is None


def test_a_worker_s_error_on_an_accelerator_tries_its_cells_apart_once() -> None:
    a, b, c = cells = students("a", "b", "c")
    scheduler = Scheduler(cells, (), slots=1)
    group = next_group(scheduler)
    scheduler.handle(CellFinished(group.number, a.key, "ok"))
    error = WorkerError(group.number, "RuntimeError", "launch failure", "the traceback", on_accelerator=True)
    assert scheduler.handle(error) == []
    first, second = next_group(scheduler), next_group(scheduler)
    assert [(g.cells, g.alone) for g in (first, second)] == [((b,), True), ((c,), True)]
    ends = scheduler.handle(replace(error, job=first.number))
    assert ends == [CellEnd(b, Status.FAILED, "RuntimeError", "launch failure", "the traceback", 2)]
    finish(scheduler, second)
    assert scheduler.next_group() is None


def test_a_worker_s_error_fails_the_cells_without_a_record() -> None:
    a, b = cells = students("a", "b")
    scheduler = Scheduler(cells, (), slots=1)
    job = next_group(scheduler)
    scheduler.handle(CellFinished(job.number, a.key, "ok"))
    ends = scheduler.handle(WorkerError(job.number, "DatasetMissing", "no data", "the traceback"))
    assert ends == [CellEnd(b, Status.FAILED, "DatasetMissing", "no data", "the traceback", 1)]


def test_a_group_that_ends_in_silence_loses_no_cell() -> None:
    (a,) = cells = students("a")
    scheduler = Scheduler(cells, (), slots=1)
    (end,) = scheduler.handle(JobFinished(next_group(scheduler).number))
    assert (end.cell, end.status) == (a, Status.FAILED)


def test_a_failed_teacher_s_dependents_are_not_run() -> None:
    teacher = make_teacher("resnet56")
    assistant = make_cell("kd", role="teacher", student="resnet20", teachers=(teacher,))
    student = make_cell("takd", teachers=(assistant,))
    scheduler = Scheduler([teacher, assistant, student, make_cell("vanilla")], (), slots=1)
    finish(scheduler, next_group(scheduler), Status.FAILED, "loss is NaN\nsecond line")
    assert methods(next_group(scheduler)) == ["vanilla"]
    assert scheduler.next_group() is None
    reason = "teacher resnet56 seed 0 failed: loss is NaN"
    assert scheduler.not_run == {
        assistant.key: reason,
        student.key: f"teacher resnet20 seed 0 was not run: {reason}",
    }


def test_what_is_unavailable_or_unplanned_blocks_at_once() -> None:
    failed, absent = make_teacher("conv32"), make_teacher("conv64")
    one, two = make_cell("a", teachers=(failed,)), make_cell("b", teachers=(absent,))
    scheduler = Scheduler([one, two], (), slots=1, unavailable={failed.key: "teacher conv32 failed before"})
    assert scheduler.next_group() is None
    assert scheduler.not_run[one.key] == "teacher conv32 failed before"
    assert absent.key in scheduler.not_run[two.key]
