"""Tables on disk are those that the records give; what is not is named by row and column."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from kdharness.report.table_check import findings_of_tables
from kdharness.results.checks.finding import Finding, Kind
from kdharness.results.store import ResultsFolder

Row = dict[str, str]


def findings(path: Path) -> list[Finding]:
    return list(findings_of_tables(ResultsFolder(path).load()))


def change(path: Path, how: Callable[[list[Row]], object]) -> None:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), reader.fieldnames
    how(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names or [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_tables_as_they_were_written(results: Path) -> None:
    assert findings(results) == []


def test_an_edited_row_of_results_is_named_with_both_values(results: Path) -> None:
    seen: list[Row] = []

    def lift(rows: list[Row]) -> None:
        row = next(row for row in rows if row["method"] == "kd")
        seen.append(dict(row))
        row["top1"] = "99.5"

    change(results / "results.csv", lift)
    what = f"row {seen[0]['cell']} default: top1 is 99.5, the records give {seen[0]['top1']}"
    assert findings(results) == [Finding(Kind.EDITED, "results.csv", what)]


def test_an_edited_row_of_the_leaderboard(results: Path) -> None:
    def lift(rows: list[Row]) -> None:
        row = next(row for row in rows if row["method"] == "byot")
        row["rank"], row["top1_mean"] = "7", "99.5"

    change(results / "leaderboard.csv", lift)
    (found,) = findings(results)
    assert (found.kind, found.where) == (Kind.EDITED, "leaderboard.csv")
    assert "digits few100 standard student default conv32 conv16 no_teacher byot" in found.what
    assert "rank is 7, the records give " in found.what
    assert found.what.endswith("so do others not fit: top1_mean")


@pytest.mark.parametrize("table", ["results.csv", "metrics.csv", "leaderboard.csv"])
def test_a_row_that_was_dropped_or_added(results: Path, table: str) -> None:
    change(results / table, lambda rows: rows.pop())
    (found,) = findings(results)
    assert found.kind is Kind.MISSING
    assert "it lacks the row " in found.what
    name = {"results.csv": "cell", "metrics.csv": "predictor", "leaderboard.csv": "student"}[table]
    change(results / table, lambda rows: rows.append({**rows[0], name: "stranger"}))
    assert {f.kind for f in findings(results)} == {Kind.MISSING, Kind.FOREIGN}


def test_a_row_that_stands_twice_is_foreign(results: Path) -> None:
    change(results / "results.csv", lambda rows: rows.append(rows[0]))
    assert [f.kind for f in findings(results)] == [Kind.FOREIGN]


def test_a_column_of_another_release_is_a_doubt_and_one_too_many_is_foreign(results: Path) -> None:
    path = results / "metrics.csv"
    lines = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join([f"{lines[0]},score", *(f"{line},1" for line in lines[1:])]) + "\n")
    lacks, foreign = findings(results)
    assert lacks == Finding(Kind.DOUBT, "metrics.csv", "it lacks columns that this release writes: value")
    assert foreign == Finding(Kind.FOREIGN, "metrics.csv", "it has columns that the records do not give: score")


def test_rows_in_another_order_and_last_digits_of_statistics_are_no_edits(results: Path) -> None:
    change(results / "results.csv", lambda rows: rows.reverse())

    def nudge(rows: list[Row]) -> None:
        for row in rows:
            row["top1_sd"] = str(float(row["top1_sd"]) * (1 + 1e-12))

    change(results / "leaderboard.csv", nudge)
    assert findings(results) == []


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"open'])
def test_what_is_no_table(results: Path, content: bytes) -> None:
    (results / "results.csv").write_bytes(content)
    assert {f.where for f in findings(results)} == {"results.csv"}


def test_a_table_that_is_not_there_says_nothing(results: Path) -> None:
    (results / "results.csv").unlink()
    assert findings(results) == []


def age(rows: list[Row]) -> None:
    """As if another release had written them, that corrects otherwise."""
    for row in rows:
        row["leaderboard_schema"], row["gain_over_vanilla_p_holm"] = "1000", "0.5"


def test_a_leaderboard_of_another_release_is_a_doubt(results: Path) -> None:
    change(results / "leaderboard.csv", age)
    (doubt,) = findings(results)
    assert doubt.kind is Kind.DOUBT
    assert doubt.what.startswith("another release wrote it")


@pytest.mark.parametrize(
    "name",
    ["top1_mean", "top1_ci_high", "rank", "gain_over_kd", "gain_over_kd_n", "gain_over_kd_ci_low", "gain_over_kd_p"],
)
def test_of_a_leaderboard_of_another_release_what_is_counted_alike_is_compared(results: Path, name: str) -> None:
    change(results / "leaderboard.csv", age)
    change(results / "leaderboard.csv", lambda rows: rows[0].update({name: "77"}))
    doubt, edited = findings(results)
    assert (doubt.kind, edited.kind) == (Kind.DOUBT, Kind.EDITED)
    assert f": {name} is 77, the records give" in edited.what
