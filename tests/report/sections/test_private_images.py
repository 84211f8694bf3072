"""What a report says of private data."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import fabricate
import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.report.document import sections
from kdharness.report.latex import as_latex
from kdharness.report.leaderboard import write_tables
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of
from kdharness.results.store import ResultsFolder

LEAK = {  # each with a standard error of two points over images
    "x_mia_advantage": 0.05, "x_mia_advantage_low": 0.0108, "x_mia_advantage_high": 0.0892,
    "x_teacher_mia_advantage": 0.25, "x_teacher_mia_advantage_low": 0.2108, "x_teacher_mia_advantage_high": 0.2892,
}  # fmt: skip
GUARD = {
    "x_guard_epsilon": 12.9787,
    "x_guard_delta": 1e-5,
    "x_guard_releases": 608.0,
    "x_guard_mu": math.sqrt(6.08),
}
NUMBERS = {
    "vanilla": {"x_mia_advantage": 0.01, "x_mia_advantage_low": 0.01, "x_mia_advantage_high": 0.01},
    "kd": LEAK,
    "guard": {**LEAK, **GUARD},
    "sieve": {**LEAK, "x_sieve_epsilon_infinite": 1.0, "x_sieve_delta": 1e-5, "x_sieve_releases": 480.0},
    "open": {
        **LEAK,
        "x_open_epsilon": 12.9,
        "x_open_delta": 1e-5,
        "x_open_noise_public": 1.0,
        "x_open_releases": 480.0,
    },
}


def made(path: Path, **changes: Any) -> ResultsFolder:
    records = [
        fabricate.record(fabricate.cell(method, seed, scenario="split80", **changes), 90.0 - position, **numbers)
        for position, (method, numbers) in enumerate(NUMBERS.items())
        for seed in range(5)
    ]
    return fabricate.write(path / "tiny", [r.cell for r in records], records)


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(made(tmp_path).load())


def section_of(report: Report) -> Section:
    (section,) = [each for each in sections(report) if each.kind is SectionKind.PRIVATE_IMAGES]
    return section


def test_budgets_and_leaks_stand_beside_each_other(report: Report) -> None:
    section = section_of(report)
    assert section.title == "tiny · digits · split80 · conv32:conv16 · private images"
    columns = {column.header: column.values for column in section.grid.columns}
    assert columns["method"] == ("vanilla", "kd", "guard", "sieve", "open")
    assert columns["epsilon"] == ("0", "infinite", "12.98", "infinite", "infinite")
    assert columns["of all"] == ("0", "infinite", "37.98", "infinite", "infinite")
    assert columns["delta"] == ("", "", "1e-05", "", "")
    assert columns["releases"] == ("", "", "608", "480", "480")
    assert columns["leak"] == ("+1.00 ±0.00", *["+5.00 ±3.92"] * 4)
    assert columns["teacher's"] == ("", *["+25.00 ±3.92"] * 4)
    assert section.remarks == ("one teacher: its ± is over images alone, and how teachers differ is not known",)


def test_a_teacher_without_an_interval_over_images_has_none(tmp_path: Path) -> None:
    leak = {"x_mia_advantage": 0.05, "x_teacher_mia_advantage": 0.25}
    records = [fabricate.record(fabricate.cell("kd", s, scenario="split80"), 90.0, **leak) for s in range(3)]
    made = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    (section,) = [each for each in sections(made) if each.kind is SectionKind.PRIVATE_IMAGES]
    columns = {column.header: column.values for column in section.grid.columns}
    assert columns["teacher's"] == ("+25.00",)


def test_it_says_who_else_asked_and_what_is_outside(report: Report) -> None:
    said = " ".join(section_of(report).how)
    assert "kd, sieve, open asked without protection that holds: with their release the budget is infinite" in said
    assert "Outside every budget" in said
    assert "the teacher's top-1, the agreement with it, and the leak" in said
    assert "together: epsilon" not in said, "guard is the only row that is protected"


@pytest.mark.parametrize(
    ("seeding", "expected"),
    [
        ("student", "over 5 student seeds, one teacher"),
        ("student+teacher", "the teachers of all seeds saw the same images"),
        ("student+teacher+data", "those that are public for one are not protected"),
    ],
)
def test_it_says_what_is_assumed_of_the_seeds(tmp_path: Path, seeding: str, expected: str) -> None:
    said = section_of(report_of(made(tmp_path, seeding=seeding).load())).how[-1]
    assert expected in said
    assert ("each seed draws anew which images are private" in said) is seeding.endswith("data")


@pytest.mark.parametrize("drawn", [as_text, as_markdown, as_latex, as_page])
def test_every_report_prints_infinite_where_the_seed_is_known(report: Report, drawn: Any) -> None:
    text = drawn([report], 120) if drawn is as_text else drawn([report])
    lines = [line for line in text.replace("<tr", "\n<tr").splitlines() if re.search(r"\bopen\b", line)]
    assert any("infinite" in line for line in lines)
    assert not any("12.9" in line for line in lines)


def test_so_do_the_leaderboard_and_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path)
    write_tables(folder.load())
    results, board = (pd.read_csv(p) for p in (folder.tables.results, folder.tables.leaderboard))
    assert set(results[results["method"] == "open"]["epsilon"]) == {math.inf}
    assert set(results[results["method"] == "open"]["noise"]) == {"public"}
    assert set(results[results["method"] == "open"]["x_open_epsilon"]) == {12.9}
    rows = board.set_index("method")
    assert list(rows.loc[["vanilla", "kd", "open"], "epsilon"]) == [0, math.inf, math.inf]
    assert list(rows.loc["guard", ["epsilon", "delta"]]) == [12.9787, 1e-5]
    assert rows.loc["guard", "epsilon_of_all"] == pytest.approx(37.9765, abs=1e-4)
    assert execute(["leaderboard", str(folder.path)]) == 0
    assert "3 ask without protection" in capsys.readouterr().out
    assert execute(["report", str(folder.path), "--all"]) == 0
    assert re.search(r"open .*infinite", capsys.readouterr().out)
