"""Tables that fit their page: set by a TeX where there is one, by their estimated widths elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import fabricate
import pytest

from kdharness.protocol.claim import Claim
from kdharness.report.document import sections
from kdharness.report.latex import as_latex
from kdharness.report.paper.build import paper_tables
from kdharness.report.tex.methods import layout_of
from kdharness.report.tex.parts import parts_across
from kdharness.report.tex.widths import COLUMN_WIDTH, PAGE_WIDTH, Size
from kdharness.report.view import Report, report_of

MOST_OVER = 10.0  # points
NAMES = ["<script>", "=1+1", "nan", "a,b", "a|b", "50%", "r&d", "a_b", "x^2", "[2cm]", "*", "\\input{x}", "long" * 16]


def wide_report(path: Path, students: int = 1, methods: int = 40) -> Report:
    long = [f"kd[mechanism=gradient,target_epsilon=8.87,length={i}]" for i in range(methods - len(NAMES))]
    scores: dict[str, list[float | None]] = {"vanilla": [80.0, 81.0, 83.0], "kd": [90.0, 91.0, 92.0]}
    scores |= {name: [88.0 - 0.1 * i, 59.0, 88.2] for i, name in enumerate([*NAMES, *long])}
    models = [f"a_rather_long_student_{i}" for i in range(students)]
    records = [r for model in models for r in fabricate.records_of(scores, student=model, regime="private_data")]
    asked = {"better": long[0], "than": "vanilla", "smaller": False, "equal_within": 0.2}
    claims = tuple(Claim(text=f"{i}: {'a claim of many words ' * 6}", **asked) for i in range(30))
    return report_of(fabricate.write(path / "tiny", [r.cell for r in records], records, claims=claims).load())


@pytest.mark.parametrize("students", [1, 4])
def test_no_part_is_wider_than_a_page(tmp_path: Path, students: int) -> None:
    report = wide_report(tmp_path, students)
    widths = [part.width for section in sections(report) for part in parts_across(section.grid)]
    assert len(widths) > students
    assert max(widths) <= PAGE_WIDTH + 1e-9


def test_a_table_of_methods_is_as_large_as_fits(tmp_path: Path) -> None:
    (small,) = paper_tables(report_of(fabricate.tiny_world(tmp_path).load()))
    (wide,) = paper_tables(wide_report(tmp_path / "wide", 4))
    assert (layout_of(small).size, layout_of(small).room) == (Size.NORMAL, COLUMN_WIDTH)
    assert (layout_of(wide).size, layout_of(wide).room, layout_of(wide).pairs) == (Size.FOOTNOTE, PAGE_WIDTH, 2)


def test_what_goes_on_refers_to_its_first_table_and_says_all_once(tmp_path: Path) -> None:
    text = as_latex([wide_report(tmp_path)])
    captions = re.findall(r"\\caption\{Do the papers' claims hold here\?(.*)\}\n\\label\{(.*)\}", text)
    label = "tab:do-the-papers-claims-hold-here"
    assert captions[:2] == [("", label), (rf" Continues Table~\ref{{{label}}}.", f"{label}--2")]
    assert text.count("p Holm decides; p: the exact sign-flip test, uncorrected") == 1
    assert text.count(r"\textit{private data}") > 1, "a group that goes on has its label there too"


def test_points_of_spreads_stand_below_each_other(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0, 92.0], "at": [30.0, 91.0, 92.0]})
    text = as_latex([report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())])
    assert r" & 91.00 \phantom{0}$\pm$1.00 & " in text
    assert r" & 71.00 $\pm$35.51 & " in text
    assert " & 1--2 & " in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
@pytest.mark.parametrize("options", ["", "[twocolumn]"])
@pytest.mark.parametrize("students", [1, 4])
def test_a_tex_sets_it_without_overfull_boxes(tmp_path: Path, options: str, students: int) -> None:
    (tmp_path / "tables.tex").write_text(as_latex([wide_report(tmp_path, students)]), encoding="utf-8")
    log = set_by("pdflatex", tmp_path, options)
    found = re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)
    assert [points for points in found if float(points) > MOST_OVER] == []
    assert "Float too large" not in log
    assert "\n!" not in log


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_letters_that_pdflatex_lacks_are_a_plain_error(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0], "知识": [91.0], "łódź": [92.0]})
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    (tmp_path / "tables.tex").write_text(as_latex([report]), encoding="utf-8")
    errors = re.findall(r"\n! (kdharness:.*)\n", set_by("pdflatex", tmp_path, ""))
    assert len(errors) == 1, "those that its usual packages have are none"
    assert errors[0].startswith("kdharness: pdfLaTeX has no letter U+77E5: use LuaLaTeX")


def set_by(program: str, folder: Path, options: str) -> str:
    """The log."""
    head = rf"\documentclass{options}{{article}}\usepackage{{booktabs}}"
    (folder / "main.tex").write_text(rf"{head}\begin{{document}}\input{{tables.tex}}\end{{document}}", encoding="utf-8")
    command = [program, "-interaction=nonstopmode", "main.tex"]
    subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    return (folder / "main.log").read_text(encoding="utf-8", errors="replace")
