"""The answers to claims, in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.protocol.claim import Claim
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.sections.answers import answers_grid, answers_grid_in_short
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import MetricRow, Record
from kdharness.results.table import METRICS_COLUMNS
from kdharness.stats.claims import judge

SCORES: dict[str, list[float | None]] = {
    "vanilla": [88.0, 88.5, 87.9, 88.2, 88.4],
    "kd": [91.0, 91.4, 90.9, 91.3, 91.2],
    "wild": [95.0, 90.0, 94.0, 89.0, 91.0],
}


def claim(better: str = "kd", than: str = "vanilla", **changes: Any) -> Claim:
    """Settled as a plan would."""
    return Claim(better=better, than=than, **{"text": "A is better", "smaller": False, "equal_within": 0.2, **changes})


CLAIMS = (
    claim(text="Soft targets help", paper="Hinton 2014"),
    claim("wild", "kd", text="Wildness helps"),
    claim("byot", "kd", text="No teacher is needed"),
    claim("byot", "vanilla", text="Nor are labels"),
)


def test_reports_answer_in_words(tmp_path: Path) -> None:
    records = fabricate.records_of(SCORES)
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, claims=CLAIMS).load())
    for text in (as_text([report], 120), as_markdown([report]), as_page([report])):
        text = text.replace("&#39;", "'")
        assert "Do the papers' claims hold here?" in text
        assert "holds" in text
        assert "+2.96" in text
        assert "undecided (about" in text.replace("\\", "")
        assert "not measured, for byot was not planned: No teacher is needed; Nor are labels" in text
    assert "Soft targets help (Hinton 2014)" in as_markdown([report]).replace("\\", "")


def test_a_terminal_shows_each_claim_as_a_sentence_over_its_numbers(tmp_path: Path) -> None:
    records = fabricate.records_of(SCORES)
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, claims=CLAIMS[:1]).load())
    lines = [line.rstrip() for line in as_text([report], 120).splitlines()]
    where = lines.index("holds: Soft targets help (Hinton 2014)")
    assert (
        lines[where + 1]
        == "    kd vs vanilla, difference +2.96 ±0.14, over 5 students, one teacher, p 0.062, p Holm <0.001"
    )


def columns(about: Claim, records: list[Record]) -> dict[str, tuple[str, ...]]:
    judged = judge([about], fabricate.table_of(records), pd.DataFrame(columns=list(METRICS_COLUMNS)))
    return {column.header: column.values for column in answers_grid(judged).columns}


@pytest.mark.parametrize(
    ("about", "compared", "difference"),
    [
        (claim(at_least=2.5), "kd vs vanilla, by over 2.5", "+2.96 ±0.14"),
        (claim(metric="nll", smaller=True), "kd vs vanilla, nll, less is better", "+0 ±0"),
        (claim("kd", "kd", than_metric="teacher_top1"), "kd vs kd, top1 vs teacher_top1", "-5.84 ±0.26"),
    ],
)
def test_what_was_compared_is_said(about: Claim, compared: str, difference: str) -> None:
    found = columns(about, fabricate.records_of(SCORES))
    assert found["compared"] == (compared,)
    assert found["difference"] == (difference,)
    assert "where" not in found


@pytest.mark.parametrize(
    ("macs", "difference"),
    [([3.4e6] * 3, "-2.6 M"), ([3.4e6, 3.5e6, 3.6e6], "-2.5 M ±248 k"), ([6e6, 6e6, 6e6 - 3.0], "-1.00 ±4.30")],
)
def test_what_is_counted_is_short_and_without_an_interval_that_it_has_not(macs: list[float], difference: str) -> None:
    values = {"kd": macs, "vanilla": [6e6] * 3}
    cells = [fabricate.cell(name, seed) for name in values for seed in range(3)]
    rows = [{"cell": c.key, "predictor": "student", "split": "test", "metric": "macs"} for c in cells]
    metrics = pd.DataFrame(rows).assign(value=[*macs, *values["vanilla"]])[list(METRICS_COLUMNS)]
    about = claim(metric="macs", predictor="student", than_predictor="student")
    judged = judge([about], fabricate.table_of([fabricate.record(c) for c in cells]), metrics)
    for grid in (answers_grid(judged), answers_grid_in_short(judged)):
        assert {column.header: column.values for column in grid.columns}["difference"] == (difference,)


def test_several_settings_say_where(tmp_path: Path) -> None:
    noisy = fabricate.records_of(SCORES, scenario="noise40")
    short = fabricate.records_of(SCORES, deviations="recipe.epochs=2", protocol="p0")
    assert columns(claim(), [*fabricate.records_of(SCORES), *noisy, *short])["where"] == (
        "digits conv32:conv16",
        "digits noise40 conv32:conv16",
        "digits conv32:conv16 (deviates: recipe.epochs=2)",
    )


def test_a_plan_carries_its_claims(tmp_path: Path) -> None:
    cells = [r.cell for r in fabricate.records_of(SCORES)]
    folder = fabricate.write(tmp_path / "tiny", cells, [], claims=CLAIMS, ablated="kd", parts={cells[0].key: ("kd",)})
    (plan,) = folder.plans.read()
    assert plan.claims == CLAIMS
    assert (plan.ablated, plan.parts) == ("kd", {cells[0].key: ("kd",)})


def test_metrics_reach_claims_from_records(tmp_path: Path) -> None:
    kept = [
        replace(r, metrics=(MetricRow("exit2", "test", "top1", 90.0 + r.cell.seed / 10),))
        for r in fabricate.records_of(SCORES)
        if r.cell.method in ("kd", "vanilla")
    ]
    about = claim(predictor="exit2", text="Its second output is better")
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in kept], kept, claims=(about,))
    assert folder.load().frame["cell"].nunique() == 10
    row = report_of(folder.load()).claims.iloc[0]
    assert (row["answer"], row["difference"]) == ("holds", pytest.approx(90.2 - 88.2))
