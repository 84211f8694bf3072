"""Mean gains over the pairs of one protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import fabricate
import pandas as pd

from kdharness.results.record import Record
from kdharness.stats.overall import OVERALL_COLUMNS, Overall, overall, overalls
from kdharness.stats.settings import comparable
from kdharness.stats.standings import REFERENCES


def records_by(scores_by_student: Mapping[str, Mapping[str, Sequence[float | None]]]) -> list[Record]:
    return [r for student, scores in scores_by_student.items() for r in fabricate.records_of(scores, student=student)]


def pairs(scores_by_student: Mapping[str, Mapping[str, Sequence[float | None]]]) -> pd.DataFrame:
    return comparable(fabricate.table_of(records_by(scores_by_student)))[0]


def test_overall_averages_pairs_for_each_seed() -> None:
    rows = pairs({"a": {"kd": [90, 90, 90], "at": [91, 92, 93]}, "b": {"kd": [80, 80, 80], "at": [80, 81, 82]}})
    frame = overall(rows, "kd")
    assert tuple(frame.columns) == OVERALL_COLUMNS
    row = frame.iloc[0]
    # Gains 1, 2, 3 and 0, 1, 2: by seed 0.5, 1.5, 2.5.
    assert (row["pairs"], row["pairs_planned"], row["n"], row["gain"], row["sd"]) == (2, 2, 3, 1.5, 1.0)


def test_overall_leaves_out_pairs_that_are_not_finished() -> None:
    rows = pairs({"a": {"kd": [90, 90], "at": [91, 92]}, "b": {"kd": [80, 80], "at": [70, None]}})
    row = overall(rows, "kd").iloc[0]
    assert (row["pairs"], row["pairs_planned"], row["gain"]) == (1, 2, 1.5)


def test_overall_never_crosses_protocols() -> None:
    records = [
        *fabricate.records_of({"kd": [90], "at": [91]}, student="a"),
        *fabricate.records_of({"kd": [90], "at": [95]}, student="b", protocol="p2"),
    ]
    frame = overall(comparable(fabricate.table_of(records))[0], "kd")
    assert frame[["protocol", "pairs_planned", "gain"]].to_numpy().tolist() == [["p1", 1, 1.0], ["p2", 1, 5.0]]


def found_in(records: list[Record]) -> tuple[Overall, ...]:
    return overalls(fabricate.table_of(records), REFERENCES)


SCORES = {
    "a": {"vanilla": [80, 81], "kd": [90, 90], "at": [91, 92], "sp": [89, 89]},
    "b": {"vanilla": [70, 71], "kd": [80, 80], "at": [80, 81], "sp": [99, None]},
}


def test_the_best_by_the_last_reference_first_and_what_lacks_pairs_last() -> None:
    (found,) = found_in(records_by(SCORES))
    assert (found.names["dataset"], found.pairs, found.references) == ("digits", 2, ("vanilla", "kd"))
    rows = found.rows.set_index("method")
    assert rows.index.to_list() == ["at", "kd", "vanilla", "sp"]
    # at over kd: 1, 2 and 0, 1; sp finished one pair of two, in which it is 1 below kd.
    assert rows["kd_gain"].drop("kd").to_dict() == {"at": 1.0, "vanilla": -9.5, "sp": -1.0}
    assert rows["kd_pairs"].drop("kd").to_dict() == {"at": 2, "vanilla": 2, "sp": 1}
    assert math.isnan(rows.loc["kd", "kd_gain"])
    assert rows.loc["kd", "vanilla_gain"] == 9.5


def test_one_pair_has_no_mean_over_pairs() -> None:
    assert found_in(records_by({"a": SCORES["a"]})) == ()


def test_what_deviates_is_left_out() -> None:
    short = [r for s in ("a", "b") for r in fabricate.records_of(SCORES[s], student=s, deviations="recipe.epochs=3")]
    assert found_in(short) == ()


def test_a_reference_that_nobody_ran_is_none() -> None:
    without = {student: {"kd": [90, 91], "at": [91, 93]} for student in ("a", "b")}
    (found,) = found_in(records_by(without))
    assert found.references == ("kd",)
    assert "vanilla_gain" not in found.rows
