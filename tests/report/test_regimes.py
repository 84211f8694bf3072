"""Methods that use other information are ranked apart, with the references beside them."""

from __future__ import annotations

from pathlib import Path

import fabricate

from kdharness.report.columns import setting_grid
from kdharness.report.leaderboard import leaderboard
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import Record


def records() -> list[Record]:
    usual = fabricate.records_of({"vanilla": [88.0] * 3, "kd": [90.0, 90.1, 90.2], "kd[weight=1]": [89.0] * 3})
    alone = fabricate.records_of({"byot": [95.0, 95.1, 95.2], "ddgsd": [80.0] * 3}, regime="no_teacher")
    return [*usual, *alone]


def test_ranks_count_within_a_regime_and_gains_go_across() -> None:
    board = leaderboard(fabricate.table_of(records())).set_index(["method", "variant"])
    assert board["rank"].to_dict() == {
        ("kd", ""): 1, ("kd", "weight=1"): 2, ("vanilla", ""): 3, ("byot", ""): 1, ("ddgsd", ""): 2,
    }  # fmt: skip
    assert round(board.loc[("byot", ""), "gain_over_vanilla"], 6) == 7.1
    assert round(board.loc[("byot", ""), "gain_over_kd"], 6) == 5.0


def test_references_stand_beside_every_regime_without_a_rank(tmp_path: Path) -> None:
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records()], records())
    report = report_of(folder)
    rows = [row[:2] for row in setting_grid(report.settings[0]).rows]
    assert rows == [
        ("1", "kd"), ("2", "kd[weight=1]"), ("3", "vanilla"),
        ("", "kd"), ("", "vanilla"), ("1", "byot"), ("2", "ddgsd"),
    ]  # fmt: skip
    assert "no teacher" in as_text([report], 100)


def test_a_regime_that_has_its_references_gets_no_others(tmp_path: Path) -> None:
    noisy = fabricate.records_of({"vanilla": [70.0] * 3, "kd": [75.0] * 3, "meal": [80.0] * 3}, regime="noisy_labels")
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in noisy], noisy)
    assert [row[:2] for row in setting_grid(report_of(folder).settings[0]).rows] == [
        ("1", "meal"), ("2", "kd"), ("3", "vanilla"),
    ]  # fmt: skip


def test_each_of_several_teachers_is_told(tmp_path: Path) -> None:
    scores = {"vanilla": [70.0] * 3, "kd": [75.0] * 3}
    teachers = [
        fabricate.record(fabricate.teacher_cell("conv64"), 97.5),
        fabricate.record(fabricate.teacher_cell("conv32"), 96.25),
        fabricate.record(fabricate.teacher_cell("conv8"), 50.0),  # of no student here
    ]
    records = [*teachers, *fabricate.records_of(scores, teacher="conv32+conv64")]
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    report = report_of(folder)
    line = "each teacher: conv32 96.25, conv64 97.50; the heading's is their mean probability's"
    assert report.settings[0].remarks[0] == line
    assert line in as_text([report], 100)


def test_one_teacher_needs_no_list(tmp_path: Path) -> None:
    records = [fabricate.record(fabricate.teacher_cell("conv32"), 97.5), *fabricate.records_of({"kd": [75.0] * 3})]
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    assert not any("each teacher" in line for line in report_of(folder).settings[0].remarks)


def test_competitors_that_gave_the_same_students_are_told(tmp_path: Path) -> None:
    scores = {"kd": [90.0, 91.0, 92.0], "kd[weight=1]": [90.0, 91.0, 92.0], "kd[weight=2]": [90.0, 91.0, 92.5]}
    records = fabricate.records_of(scores)
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    line = "the same students, to the last digit of every seed: kd, kd[weight=1]"
    assert line in report_of(folder).settings[0].remarks
    assert not any("kd[weight=2]" in remark for remark in report_of(folder).settings[0].remarks if "same" in remark)
