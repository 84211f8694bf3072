"""Tables of methods by pairs: what is best, what is tied with it, what they say of themselves."""

from __future__ import annotations

import math
from pathlib import Path

import fabricate
import pytest

from kdharness.report.paper.build import paper_tables
from kdharness.report.paper.table import PaperRow, PaperTable, Score
from kdharness.report.view import Report, report_of
from kdharness.results.record import Status

PAIRS = ("conv16", "conv8")
SCORES: dict[str, list[float | None]] = {
    "vanilla": [80.0, 81.0, 80.4, 80.2, 80.9],
    "kd": [90.0, 91.1, 90.3, 90.2, 90.8],
    "twin": [90.1, 91.0, 90.5, 90.0, 90.9],
    "late": [70.0, 71.2, None, 70.1, 70.7],
}


def report_with(path: Path, scores: dict[str, list[float | None]], **changes: str) -> Report:
    records = [r for student in PAIRS for r in fabricate.records_of(scores, student=student, **changes)]
    return report_of(fabricate.write(path / "tiny", [r.cell for r in records], records).load())


@pytest.fixture
def table(tmp_path: Path) -> PaperTable:
    (table,) = paper_tables(report_with(tmp_path, SCORES))
    return table


def test_methods_stand_by_pairs_best_first(table: PaperTable) -> None:
    assert table.about == "tiny · digits"
    assert table.pairs == (("conv32", "conv16"), ("conv32", "conv8"))
    assert table.teachers == (97.0, 97.0)
    assert table.student is not None
    assert [score.mean for score in table.student.scores] == [pytest.approx(80.5)] * 2
    ((label, rows),) = table.groups
    assert label == ""
    assert [row.name for row in rows] == ["twin", "kd", "late"]


def test_the_best_and_what_is_not_told_from_it_are_marked(table: PaperTable) -> None:
    found = {row.name: row.scores[0] for row in table.rows}
    twin = found["twin"]
    assert twin.mean == pytest.approx(90.5)
    assert twin.sd == pytest.approx(0.4528, abs=1e-4)
    assert (twin.best, twin.tied, twin.seeds) == (True, False, "")
    assert (found["kd"].best, found["kd"].tied) == (False, True)
    assert (found["vanilla"].best, found["vanilla"].tied) == (False, False)
    late = found["late"]
    assert late.mean == pytest.approx(70.5)
    assert (late.seeds, late.best, late.tied) == ("4/5", False, False)


def test_marks_are_those_of_the_tie_groups(tmp_path: Path) -> None:
    report = report_with(tmp_path, SCORES)
    (table,) = paper_tables(report)
    for place, ranking in enumerate(report.rankings):
        board = ranking.board[ranking.board["complete"]].set_index("method")
        best = set(board["tie_group"].iloc[0])
        marked = {row.name for row in table.rows if row.scores[place].best or row.scores[place].tied}
        assert marked == {name for name, group in board["tie_group"].items() if best & set(group)}


def test_gains_are_those_of_the_mean_over_pairs(table: PaperTable) -> None:
    assert table.gains == "mean gain over kd"
    found = {row.name: row for row in table.rows}
    assert found["vanilla"].gain == pytest.approx(-9.98)
    assert found["vanilla"].half == pytest.approx(0.1039, abs=1e-4)  # 2.7764 * 0.08367 / sqrt(5)
    assert math.isnan(found["kd"].gain)
    assert math.isnan(found["late"].gain), "no pair of it is whole"


def test_the_caption_says_protocol_seeds_and_test(table: PaperTable) -> None:
    assert table.caption == (
        "Top-1 in % on test, last epoch, mean ± standard deviation over 4 to 5 student seeds, one teacher. "
        "Protocol p1 of benchmark tiny, kdharness 0.1.0. (2/5): two of five seeds count; not ranked. "
        "Bold: the highest mean of its pair; †: not told apart from it "
        "(paired t tests, weighted Holm over up to 5 comparisons of a pair, 5 %). "
        "Gains over kd are paired by seed, mean over 2 pairs, ± half a 95 % interval."
    )


def test_a_single_pair_shows_its_own_gains(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0, 92.0], "at": [91.0, 92.5, 93.0]})
    (table,) = paper_tables(report_of(fabricate.write(tmp_path / "t", [r.cell for r in records], records).load()))
    assert table.gains == "gain over kd"
    assert table.student is None
    at = next(row for row in table.rows if row.name == "at")
    assert at.gain == pytest.approx(1.1667, abs=1e-4)
    assert at.half == pytest.approx(4.3027 * 0.28868 / math.sqrt(3), abs=1e-3)


def test_one_seed_marks_the_highest_and_says_that_nothing_is_tested(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0], "at": [91.0]})
    (table,) = paper_tables(report_of(fabricate.write(tmp_path / "t", [r.cell for r in records], records).load()))
    assert {row.name: (row.scores[0].best, row.scores[0].tied) for row in table.rows} == {
        "at": (True, False),
        "kd": (False, False),
    }
    assert math.isnan(next(table.rows).scores[0].sd)
    assert "below 3 seeds no difference is tested" in table.caption
    assert "single values over 1 student seed, one teacher." in table.caption
    assert table.caption.endswith("Gains over kd are paired by seed, no interval below 3 seeds.")


def test_nothing_measured_is_no_table(tmp_path: Path) -> None:
    failed = [fabricate.record(fabricate.cell("kd"), None, Status.FAILED, "why")]
    assert paper_tables(report_of(fabricate.write(tmp_path / "t", [r.cell for r in failed], failed).load())) == ()


def test_what_deviates_has_a_table_of_its_own(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0, 92.0]})
    records += fabricate.records_of({"kd": [80.0, 81.0, 82.0]}, deviations="recipe.epochs=3", protocol="p2")
    found = paper_tables(report_of(fabricate.write(tmp_path / "t", [r.cell for r in records], records).load()))
    assert [table.deviations for table in found] == ["", "recipe.epochs=3"]


def made(names: list[str], pairs: int) -> PaperTable:
    rows = tuple(PaperRow(name, tuple(Score(90.0 + pair) for pair in range(pairs))) for name in names)
    every = tuple((f"t{pair}", f"s{pair}") for pair in range(pairs))
    return PaperTable("a", "", every, (97.0,) * pairs, rows[0], (("", rows[:2]), ("r", rows[2:])), "gain over kd", "c.")


def test_a_wide_table_is_several(tmp_path: Path) -> None:
    parts = made(["a", "b", "c"], 5).parts(most_pairs=2)
    assert [part.pairs for part in parts] == [
        (("t0", "s0"), ("t1", "s1")),
        (("t2", "s2"), ("t3", "s3")),
        (("t4", "s4"),),
    ]
    assert [part.gains for part in parts] == ["", "", "gain over kd"]
    assert [score.mean for score in parts[1].groups[1][1][0].scores] == [92.0, 93.0]
    assert [len(part.teachers) for part in parts] == [2, 2, 1]
    assert parts[2].student is not None
    assert [score.mean for score in parts[2].student.scores] == [94.0]


def test_a_long_table_is_several_and_long_names_count_as_their_lines() -> None:
    names = ["a", "b", "c" * 60, "d", "e"]
    parts = made(names, 1).parts(most_lines=3)
    kept = [[(label, [row.name for row in rows]) for label, rows in part.groups] for part in parts]
    assert kept == [[("", ["a", "b"])], [("r", ["c" * 60])], [("r", ["d", "e"])]]
    assert all(part.student is not None for part in parts)
