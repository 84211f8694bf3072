"""What became of cells: every status but ok is told, with its reason."""

from __future__ import annotations

from dataclasses import replace

import fabricate
import pytest

from kdharness.results.record import Record, Status
from kdharness.stats.outcomes import ORDER, problems_of


def ended(method: str, status: Status, count: int = 1, message: str = "", **cell: str) -> list[Record]:
    return [fabricate.record(fabricate.cell(method, seed, **cell), None, status, message) for seed in range(count)]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_each_status_but_ok_is_a_problem_with_its_reason(status: Status) -> None:
    records = [fabricate.record(fabricate.cell("kd")), *ended("at", status, 2, "why")]
    (problem,) = problems_of(fabricate.table_of(records))
    kind = "" if status is Status.INTERRUPTED else "RuntimeError: "
    assert (problem.status, problem.count, problem.reason, problem.what) == (
        status.value, 2, f"{kind}why", (("at", 2),),
    )  # fmt: skip


def test_what_failed_comes_first_and_an_unknown_status_last() -> None:
    statuses = [status for status in reversed(Status) if status is not Status.OK]
    frame = fabricate.table_of([record for status in statuses for record in ended(f"m_{status}", status)])
    frame.loc[frame["method"] == "m_skipped", "status"] = "lost"
    found = [problem.status for problem in problems_of(frame)]
    assert found == ["failed", "oom", "timeout", "not_run", "interrupted", "lost"]
    assert set(ORDER) - set(found) == {"running", "incomplete", "skipped", "unreadable"}


def test_a_cell_that_lacks_a_metric_is_incomplete() -> None:
    whole = fabricate.record(fabricate.cell("kd"))
    lacking = replace(whole, error_type="MetricError", error_message="ece: broke")
    (problem,) = problems_of(fabricate.table_of([lacking]))
    assert (problem.status, problem.reason) == ("incomplete", "MetricError: ece: broke")
    assert problems_of(fabricate.table_of([whole])) == ()


def test_cells_are_grouped_by_reason_the_most_first() -> None:
    records = [
        *ended("a", Status.FAILED, 1, "rare"),
        *ended("b", Status.FAILED, 2, "often"),
        *ended("c", Status.FAILED, 1, "often"),
    ]
    found = [(problem.reason, problem.count, problem.what) for problem in problems_of(fabricate.table_of(records))]
    assert found == [
        ("RuntimeError: often", 3, (("b", 2), ("c", 1))),
        ("RuntimeError: rare", 1, (("a", 1),)),
    ]


def test_pairs_are_named_where_there_are_several() -> None:
    teacher = fabricate.record(fabricate.teacher_cell("conv32"), None, Status.FAILED)
    variant = ended("kd", Status.FAILED, variant="temperature=2", student="conv8")
    (problem,) = problems_of(fabricate.table_of([teacher, *ended("vanilla", Status.FAILED), *variant]))
    assert problem.what == (("vanilla conv16", 1), ("teacher conv32", 1), ("kd[temperature=2] conv32:conv8", 1))
