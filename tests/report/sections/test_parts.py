"""What the parts of a method do, as a table."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import fabricate
from rich.console import Console

from kdharness.report.sections.parts import parts_sections
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import show_parts
from kdharness.report.view import report_of
from kdharness.results.store import ResultsFolder

SCORES: dict[str, list[float | None]] = {
    "kd": [91.0, 91.4, 90.9, 91.3, 91.2],
    "kd[without=kd]": [88.0, 88.5, 87.9, 88.2, 88.4],
    "kd[without=ce]": [None] * 5,
}
PARTS = {"": "kd", "without=kd": "kd without kd", "without=ce": "kd without ce"}


def world(path: Path, **changes: object) -> ResultsFolder:
    records = fabricate.records_of(SCORES, **changes)
    parts = {r.cell.key: (PARTS[r.cell.variant],) for r in records}
    return fabricate.write(path, [r.cell for r in records], records, ablated="kd", parts=parts)


def test_the_table(tmp_path: Path) -> None:
    (section,) = parts_sections(report_of(world(tmp_path / "tiny").load()).effects)
    assert section.kind is SectionKind.PARTS
    assert section.title == "what the parts of kd do · tiny · digits · conv32:conv16"
    assert {column.header: column.values for column in section.grid.columns} == {
        "": ("kd", "kd without kd", "kd without ce"),
        "top-1 ±sd": ("91.16 ±0.21", "88.20 ±0.25", ""),
        "whole - this": ("", "+2.96 ±0.14", ""),
        "n": ("5", "5", "0"),
        "p": ("", "0.062", ""),
        "the part": ("", "helps", "not measured"),
    }
    assert section.below[0] == "kd without ce was not measured: failed"


def test_what_deviates_has_a_banner(tmp_path: Path) -> None:
    folder = world(tmp_path / "tiny", deviations="recipe.epochs=2")
    (section,) = parts_sections(report_of(folder.load()).effects)
    assert section.banner == "deviates from the benchmark: recipe.epochs=2"


def test_the_parts_of_one_method_alone(tmp_path: Path) -> None:
    report, file = report_of(world(tmp_path / "tiny").load()), StringIO()
    show_parts(report, "kd", Console(width=100, file=file))
    text = file.getvalue()
    assert "what the parts of kd do" in text
    assert "vs vanilla" not in text
    assert "failed 5: kd[without=ce]" in text
    assert " \n" not in text
    show_parts(report, "at", Console(width=100, file=file))
    assert "tiny: nothing is measured yet" in file.getvalue()


def test_without_an_ablation_there_is_no_section(tmp_path: Path) -> None:
    assert list(parts_sections(report_of(fabricate.tiny_world(tmp_path).load()).effects)) == []
