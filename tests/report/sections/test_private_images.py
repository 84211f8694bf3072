"""What a report says of private data."""

from __future__ import annotations

from pathlib import Path

import fabricate
import pytest

from kdharness.report.document import sections
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of

LEAK = {  # each with a standard error of two points over images
    "x_mia_advantage": 0.05, "x_mia_advantage_low": 0.0108, "x_mia_advantage_high": 0.0892,
    "x_teacher_mia_advantage": 0.25, "x_teacher_mia_advantage_low": 0.2108, "x_teacher_mia_advantage_high": 0.2892,
}  # fmt: skip
NUMBERS = {
    "vanilla": {"x_mia_advantage": 0.01, "x_mia_advantage_low": 0.01, "x_mia_advantage_high": 0.01},
    "kd": LEAK,
    "guard": {**LEAK, "x_guard_epsilon": 12.9, "x_guard_delta": 1e-5, "x_guard_releases": 480.0},
    "sieve": {**LEAK, "x_sieve_epsilon_infinite": 1.0, "x_sieve_delta": 1e-5, "x_sieve_releases": 480.0},
}


@pytest.fixture
def report(tmp_path: Path) -> Report:
    records = [
        fabricate.record(fabricate.cell(method, seed, scenario="split80"), 90.0 - position, **numbers)
        for position, (method, numbers) in enumerate(NUMBERS.items())
        for seed in range(3)
    ]
    return report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())


def test_budgets_and_leaks_stand_beside_each_other(report: Report) -> None:
    (section,) = [each for each in sections(report) if each.kind is SectionKind.PRIVATE_IMAGES]
    assert section.title == "tiny · digits · split80 · conv32:conv16 · private images"
    columns = {column.header: column.values for column in section.grid.columns}
    assert columns["method"] == ("vanilla", "kd", "guard", "sieve")
    assert columns["epsilon"] == ("0", "infinite", "12.9", "infinite")
    assert columns["delta"] == ("", "", "1e-05", "")
    assert columns["releases"] == ("", "", "480", "480")
    assert columns["leak"] == ("+1.00 ±0.00", "+5.00 ±3.92", "+5.00 ±3.92", "+5.00 ±3.92")
    assert columns["teacher's"] == ("", "+25.00 ±3.92", "+25.00 ±3.92", "+25.00 ±3.92")
    assert section.remarks == ("one teacher: its ± is over images alone, and how teachers differ is not known",)


def test_a_teacher_without_an_interval_over_images_has_none(tmp_path: Path) -> None:
    leak = {"x_mia_advantage": 0.05, "x_teacher_mia_advantage": 0.25}
    records = [fabricate.record(fabricate.cell("kd", s, scenario="split80"), 90.0, **leak) for s in range(3)]
    made = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    (section,) = [each for each in sections(made) if each.kind is SectionKind.PRIVATE_IMAGES]
    columns = {column.header: column.values for column in section.grid.columns}
    assert columns["teacher's"] == ("+25.00",)


def test_the_report_says_what_its_epsilon_means(report: Report) -> None:
    text = as_text([report], 100)
    assert "infinite where somebody was and nothing private stands between, whatever its noise" in " ".join(
        text.split()
    )
    assert any(line.split()[:1] == ["sieve"] and "infinite" in line for line in text.splitlines())
