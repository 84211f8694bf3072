"""Columns of plugins: a good one is computed of each row's cells, a bad one is empty and named."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.api import LeaderboardColumn
from kdharness.cli.main import execute
from kdharness.registry.manager import Registry
from kdharness.registry.source import Registered, Source
from kdharness.results.record import COLUMNS
from kdharness.stats.board import leaderboard

SCORES: dict[str, list[float | None]] = {"vanilla": [88.0, 89.0], "kd": [91.0, None], "broken": [None, None]}
SOURCE = Source("acme", "1.0", "acme.py", "acme")


def board(*columns: LeaderboardColumn) -> tuple[pd.DataFrame, list[str]]:
    """With these columns, by method; and what is warned of."""
    said: list[str] = []
    frame = fabricate.scores_table(SCORES)
    added = {column.name: Registered(column, SOURCE) for column in columns}
    return leaderboard(frame, added=added, warn=said.append).set_index("method"), said


def test_each_row_has_what_its_own_ok_cells_give() -> None:
    found, said = board(
        LeaderboardColumn("worst", lambda cells: cells["top1"].min(), unit="%"),
        LeaderboardColumn("cells", lambda cells: len(cells), dtype="integer"),
        LeaderboardColumn("which", lambda cells: "+".join(map(str, cells["seed"])), dtype="text"),
    )
    assert said == []
    assert found.columns.to_list()[-3:] == ["x_cells", "x_which", "x_worst"]
    assert found["x_worst"].dropna().to_dict() == {"vanilla": 88.0, "kd": 91.0}
    assert found["x_cells"].dropna().to_dict() == {"vanilla": 2, "kd": 1}
    assert found["x_which"].to_dict() == {"vanilla": "0+1", "kd": "0", "broken": ""}
    assert found[["x_worst", "x_cells", "x_which"]].dtypes.map(str).to_list() == ["float64", "Int64", "object"]


def test_a_function_may_keep_and_change_what_it_gets() -> None:
    def greedy(cells: pd.DataFrame) -> float:
        assert tuple(cells.columns) == COLUMNS
        cells["top1"] = 0.0
        return 1.0

    found, said = board(LeaderboardColumn("a", greedy), LeaderboardColumn("b", lambda cells: cells["top1"].max()))
    assert (found.loc["kd", "x_b"], found.loc["kd", "top1_mean"], said) == (91.0, 91.0, [])


def leave(cells: pd.DataFrame) -> float:
    sys.exit(3)


def nothing(cells: pd.DataFrame) -> float:
    return float(cells["no such column"].sum())


@pytest.mark.parametrize(
    ("function", "dtype", "error"),
    [
        (nothing, "float", "KeyError: 'no such column'"),
        (leave, "float", "SystemExit: 3"),
        (lambda cells: "96.1 ± 0.2", "float", "TypeError: it is to give a finite number or None, and gave 96.1 ± 0.2"),
        (lambda cells: float("inf"), "float", "TypeError: it is to give a finite number or None, and gave inf (float)"),
        (lambda cells: True, "float", "TypeError: it is to give a finite number or None, and gave True (bool)"),
        (lambda cells: 1.5, "integer", "TypeError: it is to give a whole number or None, and gave 1.5 (float)"),
        (lambda cells: 1, "text", "TypeError: it is to give a text or None, and gave 1 (int)"),
    ],
)
def test_what_goes_wrong_leaves_the_column_empty_and_is_named(
    function: Callable[[pd.DataFrame], Any], dtype: Any, error: str
) -> None:
    usual, _ = board()
    found, (line,) = board(LeaderboardColumn("bad", function, dtype=dtype), LeaderboardColumn("good", len))
    assert line.startswith(f"the leaderboard's column 'x_bad' of acme 1.0 (acme.py) is empty: {error}")
    assert all(pd.isna(value) or value == "" for value in found["x_bad"])
    assert found["x_good"].dropna().to_dict() == {"vanilla": 2.0, "kd": 1.0}
    pd.testing.assert_frame_equal(found.drop(columns=["x_bad", "x_good"]), usual)


def test_no_value_is_none_or_nan_and_texts_are_on_one_line() -> None:
    found, said = board(
        LeaderboardColumn("a", lambda cells: None),
        LeaderboardColumn("b", lambda cells: float("nan")),
        LeaderboardColumn("c", lambda cells: "=1\x1b[31m\n<script>", dtype="text"),
    )
    assert said == []
    assert found[["x_a", "x_b"]].isna().all(axis=None)
    assert found.loc["kd", "x_c"] == "=1 [31m <script>"


def test_a_type_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="leaderboard column 'a': dtype is 'percent', none of float, integer, text"):
        LeaderboardColumn("a", len, dtype="percent")  # type: ignore[arg-type]


PLUGIN = """
from kdharness.api import LeaderboardColumn, hookimpl


@hookimpl
def kdharness_leaderboard_columns():
    yield LeaderboardColumn("hours", lambda cells: cells["alone_seconds"].sum() / 3600, unit="h")
    yield LeaderboardColumn("wrong", lambda cells: cells["nothing"])
"""


def test_the_command_writes_the_columns_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin, out = tmp_path / "hours.py", tmp_path / "board.csv"
    plugin.write_text(PLUGIN, encoding="utf-8")
    folder = fabricate.tiny_world(tmp_path)
    assert execute(["leaderboard", str(folder.path), "--out", str(out), "--plugin", str(plugin)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"warning: the leaderboard's column 'x_wrong' of {plugin} is empty: KeyError: 'nothing'"
    found = pd.read_csv(out, float_precision="round_trip")
    assert found.columns.to_list()[-2:] == ["x_hours", "x_wrong"]
    assert found.set_index(["method", "variant"]).loc[("kd", "temperature=2"), "x_hours"] == 5 * 2.5 / 3600
    assert execute(["list", "columns", "--plugin", str(plugin)]) == 0
    assert "hours" in capsys.readouterr().out


def test_a_name_that_two_packages_claim_is_qualified() -> None:
    files = [Path(__file__).parents[1] / "plugins_for_tests" / f"counts_{name}.py" for name in ("cells", "rows")]
    found = leaderboard(fabricate.scores_table(SCORES), added=Registry.load(files).known("leaderboard_column"))
    assert found.columns.to_list()[-2:] == ["x_counts-cells/count", "x_counts-rows/count"]
