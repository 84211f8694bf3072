"""The leaderboard: ranks by the benchmark's rule, what never appears on it, and merged folders."""

from __future__ import annotations

import math
from pathlib import Path

import fabricate
import pandas as pd
import pytest

from kdharness.errors import UserError
from kdharness.report import leaderboard as module
from kdharness.report.leaderboard import columns, leaderboard, merge, standings, write_tables
from kdharness.results.store import ResultsFolder
from kdharness.results.table import read_table, table


def board(records: list[fabricate.Record]) -> pd.DataFrame:
    return leaderboard(fabricate.table_of(records))


def test_columns_are_stable_also_when_empty() -> None:
    assert leaderboard(fabricate.table_of([])).columns.to_list() == columns()
    assert board(fabricate.records_of({"kd": [90.0]})).columns.to_list() == columns()


def test_rank_by_mean_within_setting(tmp_path: Path) -> None:
    frame = leaderboard(table(fabricate.tiny_world(tmp_path)))
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


def test_what_is_not_finished_has_no_rank_and_counts(tmp_path: Path) -> None:
    frame = leaderboard(table(fabricate.tiny_world(tmp_path))).set_index("method")
    for name, counted in (("broken", "failed"), ("hint", "skipped"), ("slow", "pending")):
        assert frame.loc[name, "rank"] is pd.NA
        assert frame.loc[name, "n"] == 0
        assert frame.loc[name, counted] == frame.loc[name, "planned"]


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


def test_pareto_front() -> None:
    costs = {"cheap": (90.0, 1.0), "good": (92.0, 5.0), "dominated": (91.0, 6.0)}
    records = [fabricate.record(fabricate.cell(m), top1, train_seconds=s) for m, (top1, s) in costs.items()]
    assert board(records).set_index("method")["pareto"].to_dict() == {"cheap": True, "good": True, "dominated": False}


def test_tables_are_written_whole(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    write_tables(folder)
    pd.testing.assert_frame_equal(read_table(folder.results_csv), table(folder))
    assert pd.read_csv(folder.leaderboard_csv).columns.to_list() == columns()
    assert len(pd.read_csv(folder.metrics_csv)) == 26
    assert not list(folder.path.glob("*.tmp"))


def test_tables_of_a_folder_without_plan_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("kept")
    with pytest.raises(UserError, match="no plan"):
        write_tables(ResultsFolder(tmp_path))
    assert (tmp_path / "results.csv").read_text() == "kept"


def test_merge_warns_of_versions_and_counts_each_cell_once(tmp_path: Path) -> None:
    one = fabricate.tiny_world(tmp_path / "one")
    cell = fabricate.cell("kd", 0)
    other = [
        fabricate.record(cell, 91.0, torch_version="2.10.0", fingerprint="gpu"),
        fabricate.record(fabricate.cell("new"), 95.0, torch_version="2.10.0", fingerprint="gpu"),
    ]
    two = fabricate.write(tmp_path / "two" / "tiny", [r.cell for r in other], other)
    merged = merge([one, two])
    assert merged.frame["cell"].is_unique
    assert len(merged.frame) == len(table(one)) + 1
    assert any("torch" in w and "2.9.0" in w and "2.10.0" in w for w in merged.warnings)
    assert any("fingerprints" in w for w in merged.warnings)
    assert any("cells in several folders: 1" in w for w in merged.warnings)
    assert all("\n" not in w for w in merged.warnings)
    assert merged.references == module.REFERENCES


def test_merge_prefers_the_cell_that_is_ok(tmp_path: Path) -> None:
    cell = fabricate.cell()
    good = fabricate.write(tmp_path / "a", [cell], [fabricate.record(cell, 91.0)])
    bad = fabricate.write(tmp_path / "b", [cell], [fabricate.record(cell, None, fabricate.Status.FAILED)])
    assert merge([good, bad]).frame["status"].to_list() == ["ok"]


def test_merge_says_when_protocols_differ(tmp_path: Path) -> None:
    cells = [fabricate.cell(protocol=p) for p in ("p1", "p2")]
    folders = [fabricate.write(tmp_path / c.protocol, [c], [fabricate.record(c)]) for c in cells]
    merged = merge(folders)
    assert any("several protocols" in w for w in merged.warnings)
    assert leaderboard(merged.frame)["rank"].to_list() == [1, 1]
