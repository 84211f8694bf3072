"""What the columns are: the dictionary in code says what results/README.md says."""

from __future__ import annotations

import re
from pathlib import Path

import fabricate
import pytest

import kdharness
from kdharness.api import MetricSpec
from kdharness.errors import UserError
from kdharness.frames.cell_columns import CELLS
from kdharness.frames.dictionary import TABLES, cells_in_order
from kdharness.results.record import COLUMNS, FLOAT_COLUMNS, INTEGER_COLUMNS
from kdharness.stats.board_schema import board_columns

README = Path(__file__).parents[2] / "results" / "README.md"
SECTIONS = {"results.csv": "cells", "claims.csv": "claims"}


def documented(section: str) -> dict[str, str]:
    """Units by column, of a table in the README."""
    text = README.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            name, _, unit = (part.strip() for part in line.split("|")[1:4])
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", name), unit))
    return found


def test_every_column_of_the_tables_is_known_with_group_and_meaning():
    known = kdharness.columns()
    assert list(known.columns) == ["table", "name", "dtype", "unit", "group", "meaning"]
    assert list(known["table"].unique()) == list(TABLES)
    assert list(known[known["table"] == "cells"]["name"]) == list(COLUMNS)
    lacking = known[(known["meaning"] == "") | (known["group"] == "")]
    assert lacking.empty, f"say in kdharness/frames/ what these are: {lacking['name'].tolist()}"
    assert not known["meaning"].str.endswith(".").any()


def test_dtypes_are_those_of_the_table():
    dtypes = {column.name: column.dtype for column in CELLS if not column.name.startswith("x_")}
    numbers = {**dict.fromkeys(INTEGER_COLUMNS, "Int64"), **dict.fromkeys(FLOAT_COLUMNS, "float64")}
    assert dtypes == {**dict.fromkeys(COLUMNS, "object"), **numbers}


def test_the_leaderboard_has_the_columns_of_its_schema():
    board = kdharness.columns("leaderboard").set_index("name")
    assert list(board.index) == [column.name for column in board_columns(("vanilla", "kd"))]
    assert board.loc["gain_over_kd_ci_low", ["dtype", "unit", "group"]].tolist() == ["float64", "points", "quality"]
    assert board.loc["dataset", ["dtype", "group", "meaning"]].tolist() == ["object", "identity", "name of the dataset"]
    assert board.loc["device", "meaning"] == "where it ran; several values are joined by a bar"
    assert board.loc[["pareto", "ok", "delta_of_all"], "group"].tolist() == ["cost", "outcome", "privacy"]


@pytest.mark.parametrize(("section", "table"), SECTIONS.items())
def test_units_are_those_of_the_readme(section, table):
    units = documented(section)
    known = kdharness.columns(table).set_index("name")["unit"].to_dict()
    both = units.keys() & known.keys()
    assert len(both) > 20
    # What stands there for several seeds has the unit that it has of one.
    said = {name for name in both if units[name] != "as above" and (units[name] or table == "cells")}
    same = {"of the metric": "the metric's"}
    assert {name: known[name] for name in said} == {name: same.get(units[name], units[name]) for name in said}


def test_columns_of_plugins_have_what_their_metrics_declare():
    spec = MetricSpec("leak", lambda given: {}, "how much leaks", unit="bits", group="privacy")
    names = ["top1", "x_leak", "x_leak_low", "x_teacher_leak", "x_rona_sigma", "x_rona_v2_sigma", "x_what"]
    known = {c.name: c for c in cells_in_order(names, {"leak": spec}, ["rona", "rona_v2"])}
    assert (known["x_leak"].unit, known["x_leak"].group, known["x_leak"].meaning) == ("bits", "privacy", spec.summary)
    assert known["x_leak_low"].meaning == "how much leaks, low"
    assert known["x_teacher_leak"].meaning == "how much leaks, of the teacher"
    assert (known["x_rona_sigma"].group, known["x_rona_sigma"].meaning) == ("method", "a number of method 'rona'")
    assert known["x_rona_v2_sigma"].meaning == "a number of method 'rona_v2'"
    assert (known["x_what"].dtype, known["x_what"].meaning) == ("float64", "")
    assert known["top1"].unit == "%"


PLUGIN = """
from kdharness.api import MetricSpec, hookimpl

@hookimpl
def kdharness_metrics():
    return [MetricSpec("leak", lambda given: {}, "how much leaks", unit="bits", group="privacy")]
"""


def test_describe_asks_installed_plugins_and_single_files(tmp_path):
    (tmp_path / "leak.py").write_text(PLUGIN)
    one = fabricate.record(fabricate.cell(), x_leak=0.5, x_top3=99.0, x_mia_advantage=0.1)
    fabricate.write(tmp_path / "out" / "tiny", [one.cell], [one])
    results = kdharness.load(tmp_path / "out")
    said = results.describe().set_index("name")
    assert said.loc["x_top3", ["unit", "group", "table"]].tolist() == ["%", "quality", "cells"]
    assert said.loc["x_mia_advantage", "group"] == "privacy"
    assert said.loc["x_leak", "unit"] == ""
    assert results.describe(tmp_path / "leak.py").set_index("name").loc["x_leak", "unit"] == "bits"


def test_an_unknown_table():
    with pytest.raises(UserError, match="unknown table 'cell'; did you mean 'cells'"):
        kdharness.columns("cell")
