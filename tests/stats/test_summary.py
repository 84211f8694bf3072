"""Means and intervals by hand; nothing crosses a protocol, a variant or a setting."""

from __future__ import annotations

import math

import fabricate
import pandas as pd
import pytest
from scipy import stats

from kdharness.stats.settings import comparable
from kdharness.stats.summary import SUMMARY_COLUMNS, estimate, measurements, summarise


def summary(records: list[fabricate.Record]) -> pd.DataFrame:
    return summarise(comparable(fabricate.table_of(records))[0])


def test_estimate_by_hand() -> None:
    found = estimate([1.0, 2.0, 3.0])
    # sd 1; t(0.975, 2) = 4.302653; half width 4.302653 / sqrt(3) = 2.484138
    assert found[:3] == (3, 2.0, 1.0)
    assert found.ci_low == pytest.approx(2 - 2.484138, abs=1e-6)
    assert found.ci_high == pytest.approx(2 + 2.484138, abs=1e-6)


def test_the_interval_is_scipys() -> None:
    values = [90.5, 91.25, 89.75, 90.0, 92.5]
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert estimate(values)[3:] == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_no_interval_below_three_and_no_sd_below_two() -> None:
    assert estimate([1.0, 3.0]).sd == pytest.approx(math.sqrt(2))
    assert math.isnan(estimate([1.0, 3.0]).ci_low)
    assert math.isnan(estimate([1.0]).sd)
    assert math.isnan(estimate([]).mean)


def test_one_row_per_variant_and_setting() -> None:
    frame = summary(
        [
            *fabricate.records_of({"kd": [1, 2, 3], "kd[temperature=2]": [7, 7, 7]}),
            *fabricate.records_of({"kd": [10, 20, 30]}, protocol="p2"),
            *fabricate.records_of({"kd": [100, 100, 100]}, teacher="resnet56"),
        ]
    )
    assert tuple(frame.columns) == SUMMARY_COLUMNS
    found = frame.set_index(["protocol", "teacher", "variant"])["mean"].to_dict()
    assert found == {
        ("p1", "conv32", ""): 2.0,
        ("p1", "conv32", "temperature=2"): 7.0,
        ("p2", "conv32", ""): 20.0,
        ("p1", "resnet56", ""): 100.0,
    }


def test_a_failed_cell_makes_a_competitor_incomplete() -> None:
    frame = summary(fabricate.records_of({"kd": [90, None, 92], "at": [90, 91, 92]})).set_index("method")
    assert frame.loc["kd", ["n", "planned", "failed", "seeds", "complete"]].to_list() == [2, 3, 1, "0,2", False]
    assert frame.loc["at", ["n", "complete"]].to_list() == [3, True]
    assert math.isnan(frame.loc["kd", "ci_low"])


def test_teachers_are_not_summarised() -> None:
    teacher = fabricate.record(fabricate.teacher_cell(), 97.0)
    assert summary([teacher, *fabricate.records_of({"kd": [90]})])["method"].to_list() == ["kd"]


def test_methods_without_teacher_stand_in_every_pair_of_their_student() -> None:
    frame = summary(
        [
            *fabricate.records_of({"vanilla": [80]}, student="a"),
            *fabricate.records_of({"vanilla": [70]}, student="b"),
            *fabricate.records_of({"vanilla": [60]}, student="c"),
            *fabricate.records_of({"vanilla": [50]}, student="a", protocol="p2"),
            *fabricate.records_of({"kd": [81]}, teacher="t1", student="a"),
            *fabricate.records_of({"kd": [82]}, teacher="t2", student="a"),
            *fabricate.records_of({"kd": [71]}, teacher="t1", student="b"),
        ]
    )
    plain = frame[frame["method"] == "vanilla"]
    assert sorted(plain[["protocol", "teacher", "student", "mean"]].itertuples(index=False, name=None)) == [
        ("p1", "", "c", 60.0),
        ("p1", "t1", "a", 80.0),
        ("p1", "t1", "b", 70.0),
        ("p1", "t2", "a", 80.0),
        ("p2", "", "a", 50.0),
    ]


def test_teachers_of_files_are_settings_of_their_own() -> None:
    trained = fabricate.records_of({"kd": [80]})
    source = fabricate.TeacherSource("conv32", sha256="e" * 64)
    external = [fabricate.record(fabricate.cell("kd", 0, teacher=source), 85.0)]
    assert summary([*trained, *external])[["teacher_source", "mean"]].to_numpy().tolist() == [
        ["", 80.0],
        ["e" * 16, 85.0],
    ]


def test_the_digest_of_a_trained_teacher_is_no_source() -> None:
    records = [
        fabricate.record(fabricate.cell("kd", seed), 80.0, teacher_digest=digest) for seed, digest in enumerate("ab")
    ]
    assert summary(records)[["teacher_source", "n"]].to_numpy().tolist() == [["", 2]]


def test_of_two_cells_in_one_place_one_counts() -> None:
    old, new = (fabricate.cell("kd", 0, method_revision=r) for r in "12")
    failed = fabricate.record(new, None, fabricate.Status.FAILED)
    rows, left_out = comparable(fabricate.table_of([fabricate.record(old, 80.0), failed]))
    assert left_out == 1
    assert rows["top1"].to_list() == [80.0]


def test_two_values_for_one_seed_are_refused() -> None:
    frame = fabricate.scores_table({"kd": [90]})
    with pytest.raises(ValueError, match="two values for a seed: 0"):
        measurements(pd.concat([frame, frame]), "top1")


def test_statuses_are_counted_apart() -> None:
    """What no cell has is none, not one."""
    statuses = fabricate.Status
    records = [
        fabricate.record(fabricate.cell(method, seed), None, status)
        for method, found in {
            "kd": (statuses.FAILED, statuses.OOM, statuses.TIMEOUT, statuses.INTERRUPTED),
            "at": (statuses.SKIPPED, statuses.NOT_RUN),
        }.items()
        for seed, status in enumerate(found)
    ]
    records += fabricate.records_of({"sp": [90.0, 91.0]})
    frame = summary(records).set_index("method")
    counts = frame[["planned", "ok", "failed", "pending", "skipped"]]
    assert {name: row.tolist() for name, row in counts.iterrows()} == {
        "kd": [4, 0, 3, 1, 0],
        "at": [2, 0, 0, 1, 1],
        "sp": [2, 2, 0, 0, 0],
    }
