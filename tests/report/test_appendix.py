"""What a page keeps for those who look closer."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.report.page import MOST_TABLE_BYTES, as_page
from kdharness.report.view import Report, report_of
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder
from kdharness.results.table import csv_text, write_csv

ACME = """
from kdharness.api import LeaderboardColumn, hookimpl


@hookimpl
def kdharness_leaderboard_columns():
    return [LeaderboardColumn("worst", lambda cells: cells["top1"].min(), "the worst seed", unit="%")]
"""


def report(folder: ResultsFolder) -> Report:
    return report_of(folder.load(), appendix=True)


def test_the_protocol_is_told_as_cells_are_identified_by_it(tmp_path: Path) -> None:
    scores: dict[str, list[float | None]] = {"vanilla": [80.0, 81.0], "kd": [90.0, 91.0, None]}
    records = fabricate.records_of(scores)
    other = fabricate.record(fabricate.cell("at"), 92.0, fingerprint="gpu-def", torch_version="2.10.0")
    made = [*records, other]
    (facts,) = report(fabricate.write(tmp_path / "tiny", [r.cell for r in made], made)).appendix.facts
    found = dict(facts)
    assert found["protocol"] == "p1"
    assert found["recipe"] == "epochs 2"
    assert (found["seeds"], found["cells"], found["epochs"]) == ("0-2", "5 of 6 are ok", "2")
    assert set(found["fingerprint"].split(" | ")) == {"cpu-abc", "gpu-def"}
    assert set(found["torch"].split(" | ")) == {"2.9.0", "2.10.0"}
    assert found["measured"] == "2025-01-01T00:01:00+00:00 to 2025-01-01T00:01:00+00:00"


def test_tables_are_the_files_that_are_written(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    tables = report(folder).appendix.tables
    assert list(tables) == ["results.csv", "metrics.csv", "leaderboard.csv"]
    write_csv(folder.load().frame, tmp_path / "results.csv")
    assert tables["results.csv"].encode() == (tmp_path / "results.csv").read_bytes()
    assert tables["results.csv"] == csv_text(folder.load().frame)


def test_the_leaderboard_that_a_page_offers_has_the_columns_of_plugins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, page, board = tmp_path / "acme.py", tmp_path / "page.html", tmp_path / "board.csv"
    plugin.write_text(ACME, encoding="utf-8")
    folder = fabricate.tiny_world(tmp_path)
    where, added = str(folder.path), ["--plugin", str(plugin)]
    assert execute(["report", where, "--format", "html", "--out", str(page), *added]) == 0
    assert execute(["leaderboard", where, "--out", str(board), *added]) == 0
    found = re.search(r'download="leaderboard.csv" href="data:text/csv;charset=utf-8;base64,([^"]*)"', page.read_text())
    assert found is not None
    offered = base64.b64decode(found[1])
    assert offered == board.read_bytes()
    assert offered.decode("utf-8-sig").splitlines()[0].endswith(",x_worst")
    assert "Traceback" not in capsys.readouterr().err


def test_tracebacks_are_printable_line_by_line(tmp_path: Path) -> None:
    failed = fabricate.record(fabricate.cell("kd"), None, Status.FAILED, "no")
    trace = "Traceback:\n  File <x>\n\x1b[31mError: </pre>\x07"
    record = replace(failed, traceback=trace)
    found = report(fabricate.write(tmp_path / "tiny", [record.cell], [record]))
    assert list(found.appendix.tracebacks.values()) == ["Traceback:\n  File <x>\n [31mError: </pre> "]
    page = as_page([found])
    assert "\n  File &lt;x&gt;\n [31mError: &lt;/pre&gt; </pre>" in page


def test_a_table_that_is_too_large_is_named_and_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_TABLE_BYTES > 2**20
    monkeypatch.setattr("kdharness.report.page.MOST_TABLE_BYTES", 2000)
    page = as_page([report(fabricate.tiny_world(tmp_path))])
    assert page.count("beside the results: too large for a page") == 2
    assert page.count("<a download=") == 1


@pytest.mark.parametrize("form", ["empty", "foreign"])
def test_folders_without_plans_have_a_page(tmp_path: Path, form: str) -> None:
    path = tmp_path / "tiny"
    path.mkdir()
    if form == "foreign":
        write_csv(fabricate.scores_table({"kd": [90.0], "at": [91.0]}), path / "results.csv")
    page = as_page([report_of(ResultsFolder(path).load(), figures=True, appendix=True)])
    assert ("nothing is measured yet" in page) == (form == "empty")
    assert ("results.csv</a>" in page) == (form == "foreign")
