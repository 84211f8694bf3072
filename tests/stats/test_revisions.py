"""Several revisions of a method in one place: one counts, as a whole, and the others stay to be seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.results.record import Record, Status
from kdharness.stats.board import leaderboard
from kdharness.stats.former_rows import FormerCells, former_cells
from kdharness.stats.settings import superseded

USUAL: dict[str, list[float | None]] = {"vanilla": [88.0, 88.5, 87.9], "kd": [91.0, 91.4, 90.9]}


def revision(name: str, scores: list[float | None], day: int = 1, method: str = "kd", **changes: Any) -> list[Record]:
    made = fabricate.records_of({method: scores}, method_revision=name, **changes)
    return [replace(each, finished_at=f"2026-01-0{day}T00:00:00+00:00") for each in made]


def board_of(*records: Record) -> pd.DataFrame:
    return leaderboard(fabricate.table_of(list(records)))


@pytest.mark.parametrize(
    ("names", "counts"),
    [(("1", "2"), "2"), (("2", "1"), "2"), (("9", "10"), "10"), (("2", "1+0a1b"), "2"), (("1", "1+0a1b"), "1+0a1b"),
     (("0.3.0", "0.2.9"), "0.2.9"), (("feed", "beef"), "beef")],
)  # fmt: skip
def test_the_larger_number_counts_and_else_what_ended_last(names: tuple[str, str], counts: str) -> None:
    """The second one ended last."""
    records = [each for day, name in enumerate(names, 1) for each in revision(name, [90.0], day)]
    frame = fabricate.table_of(records)
    marks = superseded(frame)
    assert dict(zip(frame["method_revision"], marks, strict=True)) == {n: "" if n == counts else counts for n in names}


def test_what_never_went_well_supersedes_nothing() -> None:
    failed = [fabricate.record(fabricate.cell(method_revision="2"), None, Status.FAILED)]
    frame = fabricate.table_of([*revision("1", [90.0]), *failed])
    assert dict(zip(frame["method_revision"], superseded(frame), strict=True)) == {"1": "", "2": "1"}


def test_revisions_are_never_averaged_with_each_other() -> None:
    """The new one has a seed of three: its row is of that seed, where it was of two cells of the old one, too."""
    vanilla = fabricate.records_of({"vanilla": USUAL["vanilla"]})
    board = board_of(*vanilla, *revision("1", USUAL["kd"]), *revision("2", [95.0], 2)).set_index("method_revision")
    assert board.loc["2", ["method", "n", "seeds", "top1_mean", "superseded_by"]].to_list() == ["kd", 1, "0", 95.0, ""]
    old = board.loc["1"].set_index("method").loc["kd"]
    assert old[["n", "seeds", "superseded_by"]].to_list() == [3, "0-2", "2"]
    assert old["top1_mean"] == pytest.approx(91.1)


def test_what_is_superseded_is_compared_with_nothing() -> None:
    usual = fabricate.records_of(USUAL)
    better = revision("0", [99.0, 99.1, 99.2], 2)
    alone, board = board_of(*usual), board_of(*usual, *better)
    pd.testing.assert_frame_equal(board[board["superseded_by"] == ""].reset_index(drop=True), alone)
    (old,) = board[board["superseded_by"] == "1"].to_dict("records")
    assert (old["method_revision"], old["n"], old["top1_mean"]) == ("0", 3, pytest.approx(99.1))
    assert old["alone_seconds"] == 2.5
    compared = [name for name in board if name.startswith(("rank", "gain_", "visible", "gap"))]
    assert all(pd.isna(old[name]) or old[name] == "" for name in compared)
    assert (old["tie_group"], old["pareto"]) == ("", False)
    assert board["superseded_by"].to_list()[-1] == "1"


def test_a_student_without_a_teacher_stands_in_its_pairs_also_when_it_is_superseded() -> None:
    old = revision("0", [80.0], method="vanilla")
    board = board_of(*fabricate.records_of(USUAL), *old)
    (row,) = board[board["superseded_by"] != ""].to_dict("records")
    assert (row["teacher"], row["method"], row["top1_mean"]) == ("conv32", "vanilla", 80.0)


def test_several_revisions_have_a_row_each_in_any_order() -> None:
    records = [*fabricate.records_of(USUAL), *revision("-", [70.0]), *revision("0", [80.0])]
    board = board_of(*records)
    old = board[board["superseded_by"] != ""]
    assert old[["method_revision", "top1_mean"]].to_numpy().tolist() == [["-", 70.0], ["0", 80.0]]
    pd.testing.assert_frame_equal(board_of(*records[::-1]), board)


def test_what_is_left_out_is_counted_and_named() -> None:
    assert former_cells(fabricate.table_of(fabricate.records_of(USUAL))) == FormerCells()
    other = revision("f" * 64, [89.0], method="at")
    newer = revision("1", [89.5], 2, "at")
    frame = fabricate.table_of([*revision("1", USUAL["kd"]), *revision("2", [95.0], 2), *other, *newer])
    assert former_cells(frame) == FormerCells(
        4, ("at of revision ffffffffffffffff (1 counts)", "kd of revision 1 (2 counts)")
    )
