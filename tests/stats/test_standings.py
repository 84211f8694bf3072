"""Standings: ranks by the benchmark's rule, and what never appears on a leaderboard."""

from __future__ import annotations

import math

import fabricate
import pandas as pd
import pytest

from kdharness.results.record import Status
from kdharness.stats.board import leaderboard
from kdharness.stats.standings import columns, standings


def board(records: list[fabricate.Record]) -> pd.DataFrame:
    return leaderboard(fabricate.table_of(records))


def test_columns_are_stable_also_when_empty() -> None:
    assert standings(fabricate.table_of([])).columns.to_list() == columns()
    assert standings(fabricate.scores_table({"kd": [90.0]})).columns.to_list() == columns()


def test_rank_by_mean_within_setting() -> None:
    teacher = fabricate.record(fabricate.teacher_cell(), 97.0)
    frame = board([teacher, *fabricate.records_of(fabricate.SCORES)])
    ranked = frame[frame["rank"].notna()]
    assert list(ranked[["rank", "method", "variant"]].itertuples(index=False, name=None)) == [
        (1, "attention_transfer", ""),
        (2, "kd", ""),
        (3, "kd", "temperature=2"),
        (4, "label_smoothing", ""),
        (5, "vanilla", ""),
    ]
    top = frame.iloc[0]
    assert top["gain_over_vanilla"] == pytest.approx(3.98)
    assert top["gain_over_kd"] == pytest.approx(1.02)
    assert top["gap_share"] == pytest.approx(3.98 / (97.0 - 88.2))
    assert (top["train_seconds"], top["peak_memory_bytes"], top["student_parameters"]) == (1.5, 64 * 2**20, 12345)


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        (Status.FAILED, "failed"),
        (Status.OOM, "failed"),
        (Status.TIMEOUT, "failed"),
        (Status.INTERRUPTED, "pending"),
        (Status.NOT_RUN, "pending"),
        (Status.SKIPPED, "skipped"),
    ],
)
def test_what_is_not_finished_has_no_rank_and_counts(status: Status, counted: str) -> None:
    done = [fabricate.record(fabricate.cell("slow", seed), 99.0) for seed in range(2)]
    frame = board([*done, fabricate.record(fabricate.cell("slow", 2), None, status)])
    counts = ("planned", "n", "ok", "failed", "pending", "skipped")
    assert frame.loc[0, list(counts)].to_dict() == {
        **dict.fromkeys(counts, 0), "planned": 3, "n": 2, "ok": 2, counted: 1,
    }  # fmt: skip
    assert frame.loc[0, "rank"] is pd.NA
    assert not frame.loc[0, "complete"]


def test_a_failed_seed_costs_the_rank() -> None:
    frame = board(fabricate.records_of({"lucky": [99.0, None], "kd": [90.0, 91.0]})).set_index("method")
    assert frame.loc["lucky", "rank"] is pd.NA
    assert not frame.loc["lucky", "complete"]
    assert frame.loc["kd", "rank"] == 1
    assert frame.index.to_list() == ["kd", "lucky"]


def test_what_deviates_never_appears() -> None:
    official = fabricate.records_of({"kd": [90.0]})
    short = fabricate.records_of({"at": [99.0]}, deviations="recipe.epochs=3", protocol="p2")
    assert board([*official, *short])["method"].to_list() == ["kd"]
    assert standings(fabricate.table_of(short))["method"].to_list() == ["at"]


def test_protocols_are_ranked_apart() -> None:
    frame = board([*fabricate.records_of({"kd": [90.0]}), *fabricate.records_of({"at": [95.0]}, protocol="p2")])
    assert frame[["protocol", "rank"]].to_numpy().tolist() == [["p1", 1], ["p2", 1]]


def test_regimes_are_ranked_apart() -> None:
    many = fabricate.records_of({"many": [99.0]}, regime="several teachers")
    frame = board([*many, *fabricate.records_of({"kd": [90.0], "at": [91.0]})])
    assert frame[["method", "rank"]].to_numpy().tolist() == [["at", 1], ["kd", 2], ["many", 1]]


def test_ties_share_a_rank() -> None:
    # 0.1 + 0.2 is not 0.3: equal scores in another order.
    frame = board(fabricate.records_of({"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1], "c": [0.0, 0.0, 0.0]}))
    assert frame["rank"].to_list() == [1, 1, 3]


def test_the_oracle_is_never_ranked() -> None:
    records = [
        fabricate.record(fabricate.cell("a"), 90.0, top1_test_oracle=99.0),
        fabricate.record(fabricate.cell("b"), 91.0, top1_test_oracle=91.0),
    ]
    assert board(records)["method"].to_list() == ["b", "a"]


def test_a_tiny_gap_has_no_share() -> None:
    frame = board(fabricate.records_of({"vanilla": [96.5], "kd": [96.9]})).set_index("method")
    assert math.isnan(frame.loc["kd", "gap_share"])


def test_times_are_means_over_seeds_and_sizes_the_largest() -> None:
    names = ["train_seconds", "shared_seconds", "alone_seconds", "peak_memory_bytes", "student_macs"]
    seeds = ((1.0, 4.0, 8.0, 10, 7), (2.0, 6.0, 9.0, 30, 5))
    values = (dict(zip(names, numbers, strict=True)) for numbers in seeds)
    records = [fabricate.record(fabricate.cell("kd", seed), 90.0, **each) for seed, each in enumerate(values)]
    row = board(records).iloc[0]
    assert row[[*names, "chain_seconds"]].to_list() == [1.5, 5.0, 8.5, 30, 7, 0.0]


def test_circumstances_that_differ_are_joined() -> None:
    records = [fabricate.record(fabricate.cell("kd", seed), device=f"cuda:{1 - seed % 2}") for seed in range(3)]
    assert board(records)["device"].to_list() == ["cuda:0 | cuda:1"]


def test_pareto_front() -> None:
    costs = {
        "cheap": (90.0, 1.0), "good": (92.0, 5.0), "dominated": (91.0, 6.0),
        "as_fast": (91.0, 5.0), "as_good": (92.0, 5.5), "equal": (92.0, 5.0),
    }  # fmt: skip
    records = [fabricate.record(fabricate.cell(m), top1, alone_seconds=s) for m, (top1, s) in costs.items()]
    found = board(records).set_index("method")["pareto"]
    assert set(found.index[found]) == {"cheap", "good", "equal"}
