"""The columns of plugins beside a ranking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fabricate
import pandas as pd
import pytest

from kdharness.api import LeaderboardColumn
from kdharness.cli.main import execute
from kdharness.registry.source import Registered, Source
from kdharness.report.document import in_short, sections
from kdharness.report.leaderboard import merge
from kdharness.report.sections.added import added_section
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import ranking_of, report_of
from kdharness.results.contents import Contents
from kdharness.stats.plugin_columns import PluginColumns, columns_of_rankings
from kdharness.stats.rankings import rankings
from kdharness.stats.standings import REFERENCES

SCORES: dict[str, list[float | None]] = {"vanilla": [88.0, 89.0], "kd": [91.0, 90.0]}
ACME = """
from kdharness.api import LeaderboardColumn, hookimpl


@hookimpl
def kdharness_leaderboard_columns():
    return [LeaderboardColumn("worst", lambda cells: cells["top1"].min(), "the worst seed", unit="%")]
"""


def columns(**functions: Callable[[pd.DataFrame], float | str | None]) -> PluginColumns:
    """Of numbers, but for `word`."""
    source = Source("acme", "1.0", "acme.py", "acme")
    return {
        name: Registered(
            LeaderboardColumn(name, function, f"what {name} is", "text" if name == "word" else "float", "%"), source
        )
        for name, function in functions.items()
    }


def worst(cells: pd.DataFrame) -> float:
    return float(cells["top1"].min())


def sections_of(added: PluginColumns) -> list[Section | None]:
    """Of two settings; of the second nothing is known of kd."""
    few = fabricate.records_of({"vanilla": [70.0, 71.0]}, scenario="few100", protocol="p2")
    frame = fabricate.table_of([*fabricate.records_of(SCORES), *few])
    found = rankings(frame, REFERENCES)
    each = columns_of_rankings(frame, found, added)
    return [added_section(ranking, own) for ranking, own in zip(found, each, strict=True)]


def test_each_setting_has_its_own_values_in_the_order_of_its_ranking() -> None:
    first, second = sections_of(columns(worst=worst, word=lambda cells: "=1+1 <b>"))
    assert first is not None
    assert second is not None
    assert [column.header for column in first.grid.columns] == ["method", "x_word %", "x_worst %"]
    assert first.grid.rows == [("kd", "=1+1 <b>", "90"), ("vanilla", "=1+1 <b>", "88")]
    assert second.grid.rows == [("vanilla", "=1+1 <b>", "70")]
    assert first.how == ("x_word: what word is", "x_worst: what worst is")
    assert second.title == "tiny · digits · few100 · conv16 · columns of plugins"


def test_what_says_nothing_of_a_setting_is_left_out() -> None:
    first, second = sections_of(columns(of_kd=lambda cells: 1.5 if cells["method"].iloc[0] == "kd" else None))
    assert first is not None
    assert first.grid.rows == [("kd", "1.5"), ("vanilla", "")]
    assert second is None


def test_a_column_that_fails_is_named_beside_the_others() -> None:
    first, _ = sections_of(columns(worst=worst, bad=lambda cells: float(cells["nothing"].sum())))
    assert first is not None
    assert [column.header for column in first.grid.columns] == ["method", "x_worst %"]
    (remark,) = first.remarks
    assert remark.startswith("the leaderboard's column 'x_bad' of acme")
    assert first.short is not None
    assert first.short.says == "x_bad (failed), x_worst"


@pytest.fixture
def contents(tmp_path: Path) -> Contents:
    """With a run that departs from its benchmark, which no leaderboard has."""
    records = [*fabricate.records_of(SCORES), *fabricate.records_of({"kd": [50.0]}, deviations="recipe.epochs=3")]
    return fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load()


def test_a_report_has_them_whole_or_in_a_line_where_they_are_asked_for(contents: Contents) -> None:
    report = report_of(contents, added=columns(worst=worst))
    assert [section.kind for section in sections(report)].count(SectionKind.ADDED) == 1
    assert in_short(report) == ("columns of plugins: x_worst",)
    assert "columns of plugins" not in as_text([report_of(contents)])
    assert "x_worst %" in as_text([ranking_of(merge([contents]), columns(worst=worst))], 80)


def test_commands_show_them_where_the_leaderboard_has_them_or_a_plugin_is_named(
    contents: Contents, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, folder = tmp_path / "acme.py", str(contents.path)
    plugin.write_text(ACME, encoding="utf-8")
    assert execute(["report", folder, "--all"]) == 0
    assert "columns of plugins" not in capsys.readouterr().out
    for command in (["leaderboard", folder], ["report", folder, "--all"]):
        assert execute([*command, "--plugin", str(plugin)]) == 0
        assert "x_worst: the worst seed" in capsys.readouterr().out
    assert execute(["report", folder, "--plugin", str(plugin)]) == 0
    assert "columns of plugins: x_worst" in capsys.readouterr().out
