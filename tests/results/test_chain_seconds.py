"""What a cell's chain took to train: what it requires, but for its pair's teachers."""

from __future__ import annotations

import fabricate
import pytest

from kdharness.planning.cell import Cell, TeacherSource
from kdharness.planning.plan import PlannedCell
from kdharness.results.chains import chain_seconds
from kdharness.results.record import Status
from kdharness.results.rows import rows_of


def source(of: Cell) -> TeacherSource:
    return TeacherSource(of.student, of.key)


def cell(name: str, *teachers: Cell, pair: Cell | None = None, start: Cell | None = None) -> Cell:
    """pair: the teacher of the pair, if a cell that leads here has it."""
    return fabricate.cell(
        name,
        teacher=None,
        student=name,
        teachers=tuple(map(source, teachers)),
        reference_teachers=() if pair is None else (source(pair),),
        start=None if start is None else source(start),
    )


def seconds(of: Cell, *times: tuple[Cell, float | None]) -> float | None:
    """times: of cells; one without has no record."""
    cells = {c.key: PlannedCell(c) for c in (of, *(c for c, _ in times))}
    return chain_seconds(of, cells, {c.key: fabricate.record(c, alone_seconds=s) for c, s in times if s is not None})


BIG = fabricate.teacher_cell("big")
ASSISTANT = cell("assistant", BIG, pair=BIG)
FIRST = cell("first", BIG, pair=BIG)
SECOND = cell("second", FIRST, pair=BIG)


def test_a_pairs_teacher_is_in_no_chain() -> None:
    assert seconds(cell("kd", BIG, pair=BIG), (BIG, 100.0)) == 0.0


def test_nothing_is_required_of_a_method_without_teacher() -> None:
    assert seconds(cell("vanilla")) == 0.0


def test_an_assistant_is_and_its_own_teacher_is_not() -> None:
    assert seconds(cell("takd", ASSISTANT, pair=BIG), (BIG, 100.0), (ASSISTANT, 30.0)) == 30.0


def test_earlier_generations_are_to_the_first_one() -> None:
    assert seconds(cell("ban", SECOND, pair=BIG), (BIG, 100.0), (FIRST, 7.0), (SECOND, 8.0)) == 15.0


def test_a_step_that_is_reached_twice_is_trained_once() -> None:
    both = cell("ensemble", FIRST, SECOND, pair=BIG)
    assert seconds(both, (BIG, 100.0), (FIRST, 7.0), (SECOND, 8.0)) == 15.0


@pytest.mark.parametrize("helps", ["beside", "start"])
def test_a_network_beside_the_pairs_teacher_counts(helps: str) -> None:
    other = fabricate.teacher_cell("other")
    made = cell("rona", BIG, other, pair=BIG) if helps == "beside" else cell("late", BIG, pair=BIG, start=other)
    assert seconds(made, (BIG, 100.0), (other, 40.0)) == 40.0


def test_a_file_was_not_trained_here() -> None:
    assert seconds(fabricate.cell("kd", teacher=TeacherSource("big", sha256="ab" * 32))) == 0.0


def test_an_unknown_time_makes_the_sum_unknown() -> None:
    assert seconds(cell("ban", SECOND, pair=BIG), (BIG, 1.0), (FIRST, None), (SECOND, 8.0)) is None


def test_it_is_a_column_of_what_has_been_trained() -> None:
    takd, waiting = cell("takd", ASSISTANT, pair=BIG), cell("waiting", ASSISTANT, pair=BIG)
    failed = fabricate.record(cell("failed", ASSISTANT, pair=BIG), None, Status.FAILED)
    records = [fabricate.record(takd), fabricate.record(ASSISTANT, alone_seconds=30.0), failed]
    cells = {c.key: PlannedCell(c) for c in (BIG, ASSISTANT, takd, waiting, failed.cell)}
    rows = {row["method"]: row for row in rows_of(cells, {r.cell.key: r for r in records})}
    assert (rows["takd"]["alone_seconds"], rows["takd"]["chain_seconds"]) == (2.5, 30.0)
    assert rows["assistant"]["chain_seconds"] == 0.0
    assert "chain_seconds" not in rows["waiting"]
    assert "chain_seconds" not in rows["failed"]
