"""What a report says of an audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fabricate
import numpy as np
import pytest

from kdharness.report.document import sections
from kdharness.report.latex import as_latex
from kdharness.report.leaderboard import write_tables
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of
from kdharness.results.audits import Audit, write_audit
from kdharness.results.store import ResultsFolder


def made(path: Path, epsilon: float = 0.5, one_coin: bool = False) -> ResultsFolder:
    """`guard` promises this epsilon, and every member is more certain than every other image."""
    cells = [fabricate.cell("guard", seed, scenario="split80", seeding="student+data") for seed in range(4)]
    records = [fabricate.record(cell, x_guard_epsilon=epsilon, x_guard_delta=1e-5) for cell in cells]
    folder = fabricate.write(path / "tiny", cells, records)
    for seed, cell in enumerate(cells):
        toss = np.random.default_rng(0 if one_coin else seed).permutation
        members = np.concatenate([toss(np.arange(n) % 2 == 0) for n in (20, 60)])
        hardness = np.random.default_rng(9).random(80)
        audit = Audit(np.arange(80), members, np.arange(80) < 20, hardness + 3 * members)
        write_audit(folder.cell(cell.key), audit)
    return folder


def section_of(report: Report) -> Section:
    (section,) = [each for each in sections(report) if each.kind is SectionKind.AUDIT]
    return section


def test_attacks_stand_beside_what_was_promised(tmp_path: Path) -> None:
    section = section_of(report_of(made(tmp_path).load()))
    assert section.title == "tiny · digits · split80 · conv32:conv16 · membership audit"
    columns = {column.header: column.values for column in section.grid.columns}
    assert columns["method"] == ("guard",)
    assert columns["LiRA AUC"] == ("1.00",)
    assert columns["TPR at 1 %"] == ("100.00",)
    assert columns["at 0.1 %"] == ("",)
    assert columns["promised"] == ("0.5",)
    # All 80 coins of canaries are guessed rightly, at 5 % / 8: q^80 = 0.00625, less what delta takes.
    q = 0.00625 ** (1 / 80)
    assert float(columns["epsilon above"][0]) == pytest.approx(np.log(q / (1 - q)), abs=0.05)
    assert "80 coins to guess" in section.how[-1]
    assert any("outside every budget" in line for line in section.how)


@pytest.mark.parametrize("drawn", [as_text, as_markdown, as_latex, as_page])
def test_a_promise_that_is_broken_is_an_alarm_in_every_format(tmp_path: Path, drawn: Any) -> None:
    report = report_of(made(tmp_path).load())
    text = " ".join((drawn([report], 120) if drawn is as_text else drawn([report])).split())
    assert "ALARM: guard promises epsilon 0.5; 80 of 80 guesses are right" in text


def test_one_that_is_kept_is_none(tmp_path: Path) -> None:
    section = section_of(report_of(made(tmp_path, epsilon=8.0).load()))
    assert not any("ALARM" in line for line in section.remarks)


def test_one_draw_is_said_to_have_no_shadows(tmp_path: Path) -> None:
    section = section_of(report_of(made(tmp_path, one_coin=True).load()))
    assert any("no LiRA: one draw of membership" in line for line in section.remarks)
    assert "20 coins to guess" in section.how[-1]


def test_without_audits_there_is_no_section_and_no_table(tmp_path: Path) -> None:
    folder = made(tmp_path)
    write_tables(folder.load())
    assert folder.tables.audit.is_file()
    for path in (folder.path / "private" / "audit").glob("*/audit.npz"):
        path.unlink()
    report = report_of(folder.load())
    assert not [each for each in sections(report) if each.kind is SectionKind.AUDIT]
    write_tables(folder.load())
    assert not folder.tables.audit.exists()
