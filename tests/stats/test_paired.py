"""Gains over a reference, paired by seed, and their verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import fabricate
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdharness.stats.paired import PAIRED_COLUMNS, paired, seeds_needed
from kdharness.stats.settings import comparable
from kdharness.stats.significance import t_p
from kdharness.stats.summary import Estimate, estimate


def gains(scores: Mapping[str, Sequence[float | None]], reference: str = "kd") -> pd.DataFrame:
    return paired(comparable(fabricate.scores_table(scores))[0], reference).set_index(["method", "variant"])


def test_gain_by_hand() -> None:
    frame = gains({"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0]})
    row = frame.loc[("at", "")]
    # Differences 1, 2, 0: mean 1, sd 1, half width 2.484138; the sign-flip p counts 4 of 8.
    assert (row["n"], row["gain"], row["sd"], row["p"]) == (3, 1.0, 1.0, 0.5)
    assert row["ci_low"] == pytest.approx(1 - 2.484138, abs=1e-6)
    assert row["correlation"] == pytest.approx(0.5)
    assert row["verdict"] == "undecided"


def test_columns() -> None:
    frame = paired(comparable(fabricate.scores_table({"kd": [90.0], "at": [91.0]}))[0], "kd")
    assert tuple(frame.columns) == PAIRED_COLUMNS


def test_a_missing_seed_leaves_the_pair_and_n_says_so() -> None:
    frame = gains({"kd": [90.0, 50.0, 92.0, 93.0], "at": [91.0, None, 93.0, 94.0]})
    assert frame.loc[("at", ""), ["n", "seeds", "gain"]].to_list() == [3, "0,2-3", 1.0]


def test_no_common_seed_gives_no_verdict() -> None:
    frame = gains({"kd": [90.0, None], "at": [None, 91.0]})
    row = frame.loc[("at", "")]
    assert (row["n"], row["verdict"]) == (0, "")
    assert math.isnan(row["gain"])


def test_the_reference_is_the_default_variant_and_variants_compete() -> None:
    frame = gains({"kd": [90.0, 91.0, 90.5], "kd[temperature=2]": [91.0, 92.5, 91.0]})
    assert frame.index.to_list() == [("kd", "temperature=2")]
    assert frame["gain"].to_list() == [1.0]


def test_no_gain_across_protocols() -> None:
    ours, theirs = fabricate.records_of({"at": [91.0]}), fabricate.records_of({"kd": [90.0]}, protocol="p2")
    assert paired(comparable(fabricate.table_of([*ours, *theirs]))[0], "kd").empty


def test_no_gain_across_scenarios_datasets_or_students() -> None:
    ours = fabricate.records_of({"at": [91.0]})
    for other in ({"scenario": "noise40"}, {"dataset": "other"}, {"student": "conv8"}):
        theirs = fabricate.records_of({"kd": [90.0]}, **other)
        assert paired(comparable(fabricate.table_of([*ours, *theirs]))[0], "kd").empty


def test_plain_students_are_the_reference_of_every_pair() -> None:
    records = [
        *fabricate.records_of({"vanilla": [80.0]}),
        *fabricate.records_of({"kd": [83.0]}, teacher="t1"),
        *fabricate.records_of({"kd": [85.0]}, teacher="t2"),
    ]
    frame = paired(comparable(fabricate.table_of(records))[0], "vanilla")
    assert frame.set_index("teacher")["gain"].to_dict() == {"t1": 3.0, "t2": 5.0}


def test_holm_counts_the_competitors_of_the_setting() -> None:
    base = [90.0, 91.0, 90.5, 91.5, 90.2]
    scores = {"kd": base, **{f"m{i}": [b + 1 + 0.1 * j for j, b in enumerate(base)] for i in range(4)}}
    frame = gains(scores)
    assert frame["p"].to_list() == [0.0625] * 4
    assert frame["p_holm"].to_list() == [0.25] * 4
    assert frame["comparisons"].to_list() == [4] * 4


def test_comparisons_are_those_that_have_two_seeds_in_common() -> None:
    many = {"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0], "sp": [90.0, None, 93.0]}
    frame = gains({**many, "cc": [91.0, None, None], "rkd": [None, None, None]})
    assert frame["comparisons"].isna().to_dict() == {
        ("at", ""): False, ("cc", ""): True, ("rkd", ""): True, ("sp", ""): False,
    }  # fmt: skip
    assert set(frame["comparisons"].dropna()) == {2}
    # at has the smaller p of the two: it is doubled.
    assert frame.loc[("at", ""), "t_p_holm"] == pytest.approx(2 * t_p([1.0, 2.0, 0.0]))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [
        ([1.0, 1.2, 0.8, 1.1, 0.9], "better"),
        ([-1.0, -1.2, -0.8, -1.1, -0.9], "worse"),
        ([1.0, 2.0, 0.0], "undecided"),
        ([0.05, 0.1, 0.0], "practically equal"),
        ([0.15, 0.16, 0.14, 0.15], "practically equal"),  # clear of zero, and too little to matter
        ([0.15, 0.3, 0.0], "undecided"),
        ([0.2, 0.2, 0.2, 0.2, 0.2], "practically equal"),  # the margin's ends belong to it
        ([3.0, 3.0, 3.0], "undecided"),
        ([0.0, 0.0, 0.0, 0.0], "undecided"),  # steps of accuracy agree by chance
        ([0.0, 0.0, 0.0, 0.0, 0.0], "practically equal"),
        ([3.0, 3.1], "undecided"),
        ([3.0], "undecided"),
        ([None, None, None], ""),
    ],
)
def test_verdicts(differences: list[float | None], expected: str) -> None:
    row = gains({"kd": [0.0] * len(differences), "at": differences}).iloc[0]
    assert row["verdict"] == expected


def test_no_spread_is_no_evidence() -> None:
    row = gains({"kd": [0.0] * 5, "at": [3.0] * 5}).iloc[0]
    assert (row["t_p_holm"], row["p"]) == (1.0, 0.0625)
    assert math.isnan(row["visible_difference"])


def test_seeds_that_differences_without_spread_need() -> None:
    rows = gains({"kd": [0.0] * 3, "at": [0.1] * 3, "sp": [3.0] * 3})["seeds_needed"].droplevel("variant")
    assert rows["at"] == 2  # five in all
    assert pd.isna(rows["sp"])


def test_zero_has_no_sign() -> None:
    row = gains({"at": [90.0] * 3, "kd": [90.0] * 3}).iloc[0]
    assert [math.copysign(1, row[name]) for name in ("gain", "ci_low", "ci_high")] == [1, 1, 1]


def test_visible_difference_by_hand() -> None:
    rows = gains(
        {"kd": [0.0] * 4, "at": [1.0, 2.0, 0.0, 1.0], "sp": [0.0, 1.0, 3.0, 4.0], "cc": [5.0, 6.0, None, None]}
    )
    # Three tests, for cc shares two seeds. t of 3 degrees at 0.05 / 3 two-sided: 4.8567; sds sqrt(2 / 3), sqrt(10 / 3).
    found = rows.droplevel("variant")["visible_difference"]
    assert found["at"] == pytest.approx(4.8567 * math.sqrt(2 / 3) / 2, abs=1e-4)
    assert found["sp"] == pytest.approx(4.8567 * math.sqrt(10 / 3) / 2, abs=1e-4)
    assert math.isnan(found["cc"])


def test_what_would_be_practically_equal_is_not_visible() -> None:
    spread = np.array([0.001, -0.001, 0.0])
    visible = gains({"kd": [0.0] * 3, "at": spread.tolist()})["visible_difference"].iloc[0]
    below, above = ((visible + step + spread).tolist() for step in (-1e-6, 1e-6))
    assert [gains({"kd": [0.0] * 3, "at": each})["verdict"].iloc[0] for each in (below, above)] == [
        "practically equal",
        "better",
    ]


def test_a_verdict_holds_for_all_competitors_at_once() -> None:
    base = [90.0, 91.0, 90.5, 91.5, 90.2]
    close = [b + d for b, d in zip(base, [0.9, 1.3, 0.4, 1.2, 0.5], strict=True)]
    alone = gains({"kd": base, "at": close})
    crowd = gains(
        {"kd": base, "at": close, **{f"m{i}": [b + 5 - 3 * j for j, b in enumerate(base)] for i in range(30)}}
    )
    assert alone.loc[("at", ""), "verdict"] == "better"
    assert crowd.loc[("at", ""), "verdict"] == "undecided"


def test_seeds_needed_is_the_least_that_settles() -> None:
    gain = estimate([0.9, -0.2, 0.6])
    more = seeds_needed(gain)
    assert more is not None
    total = gain.n + more

    def half(n: int) -> float:
        return float(stats.t.ppf(0.975, n - 1)) * gain.sd / math.sqrt(n)

    assert half(total) < gain.mean <= half(total - 1)
    crowded = seeds_needed(gain, tests=20)
    assert crowded is not None
    assert crowded > more


def test_seeds_needed_can_aim_at_equality() -> None:
    gain = Estimate(5, 0.0, 0.3, -0.37, 0.37)
    more = seeds_needed(gain)
    # t * 0.3 / sqrt(n) <= 0.2: n = 11 gives 0.2015, n = 12 gives 0.1906
    assert more == 12 - 5


@pytest.mark.parametrize("n", [3, 5, 20])
@pytest.mark.parametrize("mean", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("tests", [1, 7])
def test_seeds_needed_is_the_first_number_that_would_do(n: int, mean: float, tests: int) -> None:
    sd, alpha = 0.6, 0.05

    def settles(seeds: int) -> bool:
        error = sd / math.sqrt(seeds)
        clear = stats.t.ppf(1 - alpha / (2 * tests), seeds - 1) * error < mean
        return clear or stats.t.ppf(1 - alpha / 2, seeds - 1) * error <= 0.2 - mean

    first = next(seeds for seeds in range(n + 1, 1001) if settles(seeds))
    assert seeds_needed(Estimate(n, mean, sd, math.nan, math.nan), tests=tests) == first - n


def test_seeds_needed_below_two_seeds_asks_for_an_interval() -> None:
    assert seeds_needed(estimate([0.5])) == 2
    assert seeds_needed(Estimate(5, 0.2, 50.0, -60, 60)) is None


def test_intervals_cover_as_they_claim() -> None:
    generator = np.random.default_rng(0)
    draws = generator.normal(0.5, 0.3, size=(2000, 3))
    covered = [low <= 0.5 <= high for *_, low, high in (estimate(d.tolist()) for d in draws)]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)
