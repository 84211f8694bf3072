"""How a report says how much is the teacher's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.planning.cell import SPREAD, TeacherSource
from kdharness.report.document import sections
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of


def report(path: Path, **changes: Any) -> Report:
    """kd of seeds 0 to 2, and seed 0 under teachers 1 and 2; seeds have teachers of their own where they are drawn."""
    own = changes.get("seeding", "student") != "student"
    pairs = [("student", s, s if own else 0, None) for s in range(3)] + [(SPREAD, 0, t, t) for t in (1, 2)]
    records = [
        fabricate.record(
            fabricate.cell("kd", s, TeacherSource("conv32", f"t{t}"), role=role, teacher_seed=again, **changes),
            90.0 + s + 2 * t, teacher_top1=97.0 + t,
        )
        for role, s, t, again in pairs
    ]  # fmt: skip
    return report_of(fabricate.write(path / "tiny", [r.cell for r in records], records).load())


def section_of(made: Report) -> Section:
    (found,) = [section for section in sections(made) if section.kind is SectionKind.TEACHER_SPREAD]
    return found


@pytest.mark.parametrize(
    ("seeding", "rows", "how"),
    [
        ("student", {"students, one teacher": "1.00"}, "one student: of seed 0"),
        (
            "student+teacher",
            {"students, all anew": "3.00"},
            "one student: of seed 0; all anew: over 3 seeds, each with a teacher of its own",
        ),
    ],
)
def test_spreads_stand_beside_each_other(tmp_path: Path, seeding: str, rows: dict[str, str], how: str) -> None:
    found = section_of(report(tmp_path, seeding=seeding))
    assert found.title == "tiny · digits · conv32:conv16 · how much is the teacher's"
    columns = {column.header: column.values for column in found.grid.columns}
    spreads = dict(zip(columns["spread between"], columns["sd"], strict=True))
    assert spreads == {"teachers, one student": "2.00", **rows, "the teachers' own top-1": "1.00"}
    assert columns["method"] == ("kd", "", "")
    assert set(columns["n"]) == {"3"}
    assert columns["95 %"][0] == "1.04 to 12.57"
    assert found.how[0].endswith(how)


def test_it_fits_a_terminal_and_problems_name_what_failed(tmp_path: Path) -> None:
    made = report(tmp_path)
    text = as_text([made], 80)
    assert "kd      teachers, one student    2.00  1.04 to 12.57  3" in text
    assert "not run" not in text
