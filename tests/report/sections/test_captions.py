"""Every table says over what its intervals run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.protocol.claim import Claim
from kdharness.report.document import sections
from kdharness.report.latex import as_latex
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.sections.captions import drawn, over_seeds, over_seeds_of
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of

SCORES: dict[str, list[float | None]] = {"vanilla": [80, 81, 82], "kd": [84, 85, 87], "at": [83, 86, 88]}


@pytest.mark.parametrize(
    ("seeding", "counts", "teacher", "says"),
    [
        ("student", [5, 5], "conv32", "over 5 student seeds, one teacher"),
        ("student", [5], "a+b", "over 5 student seeds, the same teachers"),
        ("student", [3, 5, 0], "", "over 3 to 5 student seeds"),
        ("student", [1], "a", "over 1 student seed, one teacher"),
        ("student+teacher", [5], "a", "over 5 seeds, each with a teacher of its own"),
        ("student+data", [5], "a", "over 5 seeds, each with a draw of the data of its own"),
        ("student+teacher+data", [5], "a", "over 5 seeds, each with a teacher and a draw of the data of its own"),
        ("student", [0], "a", ""),
    ],
)
def test_the_words(seeding: str, counts: list[int], teacher: str, says: str) -> None:
    assert over_seeds({"seeding": seeding, "teacher": teacher, "scenario": "clean"}, counts) == says


def test_data_that_is_drawn_once_is_said() -> None:
    names = {"seeding": "student", "teacher": "a", "scenario": "noise40"}
    assert over_seeds(names, [5]) == "over 5 student seeds, one teacher, one draw of the data"
    assert (
        over_seeds({**names, "seeding": "student+data"}, [5]) == "over 5 seeds, each with a draw of the data of its own"
    )


@pytest.mark.parametrize(
    ("seeding", "scenario", "teacher", "teachers", "says"),
    [
        ("student", "clean", "a", 1, "5 students, one teacher"),
        ("student", "clean", "a", 0, "5 students"),
        ("student", "few100", "a+b", 1, "5 students, one set of teachers, one draw of the data"),
        ("student+teacher", "clean", "a+b", 5, "5 students, 5 sets of teachers"),
        ("student+teacher", "few100", "a", 5, "5 students, 5 teachers, one draw of the data"),
        ("student+data", "few100", "", 0, "5 students, 5 draws of the data"),
        ("student+teacher+data", "few100", "a", 5, "5 students, 5 teachers, 5 draws of the data"),
    ],
)
def test_what_a_claim_rests_on(seeding: str, scenario: str, teacher: str, teachers: int, says: str) -> None:
    row = {"seeding": seeding, "scenario": scenario, "teacher": teacher, "teachers": teachers, "n": 5}
    assert drawn(row) == says
    assert drawn({**row, "n": 1}).startswith("one student")


def test_several_rules_are_each_said_once() -> None:
    rows: list[dict[str, Any]] = [
        {"seeding": "student", "teacher": "a", "scenario": "clean", "n": 5},
        {"seeding": "student", "teacher": "b", "scenario": "clean", "n": 5},
        {"seeding": "student+teacher", "teacher": "a", "scenario": "clean", "n": 3},
    ]
    says = "over 5 student seeds, one teacher; over 3 seeds, each with a teacher of its own"
    assert over_seeds_of(rows) == says


def report(tmp_path: Path, **changes: Any) -> Report:
    records = [r for student in ("conv16", "conv8") for r in fabricate.records_of(SCORES, student=student, **changes)]
    claim = Claim(text="kd helps", better="kd", than="vanilla")
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, claims=(claim,))
    return report_of(folder.load())


@pytest.mark.parametrize(
    ("seeding", "says", "rests"),
    [
        ("student", "over 3 student seeds, one teacher", "3 students, one teacher"),
        (
            "student+teacher+data",
            "over 3 seeds, each with a teacher and a draw of the data of its own",
            "3 students, one teacher, 3 draws of the data",
        ),
    ],
)
def test_every_table_says_it_in_every_format(tmp_path: Path, seeding: str, says: str, rests: str) -> None:
    made = report(tmp_path, seeding=seeding)
    found = list(sections(made))
    assert {section.kind.value for section in found} == {"ranking", "mean gains", "claims"}
    for section in found:
        if section.kind is SectionKind.CLAIMS:  # each says it itself
            (over,) = [column for column in section.grid.columns if column.header == "over"]
            assert set(over.values) == {rests}
        else:
            assert says in " ".join(section.below), section.kind
    for text in (as_text([made], 200), as_page([made]), as_latex([made]), as_markdown([made])):
        words = " ".join(text.replace("\\allowbreak{}", "").replace("\\", "").replace("<wbr>", "").split())
        assert words.count(says) >= len(found) - 1
        assert rests in words
