"""What a report says of private data."""

from __future__ import annotations

from pathlib import Path

import fabricate
import pytest

from kdharness.report.document import sections
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of

LEAK = {"x_mia_advantage": 0.05, "x_teacher_mia_advantage": 0.25}
NUMBERS = {
    "vanilla": {"x_mia_advantage": 0.01},
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
    assert columns["epsilon"] == ("none", "none", "12.9", "infinite")
    assert columns["delta"] == ("", "", "1e-05", "")
    assert columns["releases"] == ("", "", "480", "480")
    assert columns["leak"] == ("+1.00 ±0.00", "+5.00 ±0.00", "+5.00 ±0.00", "+5.00 ±0.00")
    assert columns["teacher's"] == ("", "+25.00 ±0.00", "+25.00 ±0.00", "+25.00 ±0.00")


def test_the_report_says_that_a_mechanism_protects_nothing(report: Report) -> None:
    text = as_text([report], 100)
    assert "the mechanism protects nothing, whatever its noise" in " ".join(text.split())
    assert any(line.split()[:1] == ["sieve"] and "infinite" in line for line in text.splitlines())
