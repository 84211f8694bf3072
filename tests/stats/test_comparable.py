"""Rows that runs away from the benchmark may be compared with."""

from __future__ import annotations

import fabricate

from kdharness.stats.settings import comparable, deviating


def test_a_run_with_another_teacher_is_compared_with_the_benchmarks_plain_student() -> None:
    """Of its own student and protocol, and with nothing else of the benchmark."""
    away = {"deviations": "pairs=big:a", "teacher": "big", "student": "a"}
    records = [
        *fabricate.records_of({"kd": [90.0]}, **away),
        *fabricate.records_of({"vanilla": [80.0], "kd": [85.0]}, student="a"),
        *fabricate.records_of({"vanilla": [70.0]}, student="b"),
        *fabricate.records_of({"vanilla": [60.0]}, student="a", protocol="p2"),
        *fabricate.records_of({"vanilla": [50.0]}, student="a", scenario="few100"),
        fabricate.record(fabricate.teacher_cell("a"), 97.0),
    ]
    found = deviating(fabricate.table_of(records), "pairs=big:a")
    assert sorted(found["top1"]) == [80.0, 90.0]


def test_a_run_away_without_a_teacher_brings_nobody() -> None:
    records = [
        *fabricate.records_of({"vanilla": [90.0]}, deviations="epochs=3", student="a"),
        *fabricate.records_of({"vanilla": [80.0]}, student="a"),
    ]
    assert deviating(fabricate.table_of(records), "epochs=3")["top1"].tolist() == [90.0]


def test_a_plain_student_of_no_pair_has_no_teacher() -> None:
    rows, left_out = comparable(fabricate.scores_table({"vanilla": [80.0]}))
    assert rows[["teacher", "teacher_source"]].to_numpy().tolist() == [["", ""]]
    assert left_out == 0
