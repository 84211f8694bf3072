"""Outputs of a method as a table and as a figure, in a page and in files."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.report.document import sections
from kdharness.report.figures import Mark, OutputFigure
from kdharness.report.page import as_page
from kdharness.report.plots import files as plots
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import MetricRow, Record
from kdharness.results.store import ResultsFolder

MACS = {"exit1": 100.0, "exit2": 200.0, "ensemble": 400.0}
TOP1 = {"exit1": 85.0, "exit2": 91.0, "ensemble": 92.0}


def with_exits(record: Record) -> Record:
    values = ((n, m, v) for n in MACS for m, v in (("macs", MACS[n]), ("top1", TOP1[n] + record.cell.seed)))
    rows = [MetricRow(name, "test", metric, value) for name, metric, value in values]
    rows += [MetricRow(name, "test", "latency_seconds", 0.002) for name in MACS]
    rows += [MetricRow(name, "test", "parameters", 5000.0) for name in MACS]
    return replace(record, metrics=tuple(rows), values={**record.values, "student_macs": 200})


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    plain = [
        replace(r, values={**r.values, "student_macs": 300}) for r in fabricate.records_of({"vanilla": [88.0] * 3})
    ]
    records = [*plain, *fabricate.records_of({"kd": [90.0] * 3})]
    records += [with_exits(r) for r in fabricate.records_of({"byot": [91.0, 92.0, 93.0]}, teacher=None)]
    return fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)


def section_of(folder: ResultsFolder) -> Section:
    (section,) = [each for each in sections(report_of(folder.load())) if each.kind is SectionKind.OUTPUTS]
    return section


def figure_of(folder: ResultsFolder) -> OutputFigure:
    figure = section_of(folder).figures[0]
    assert isinstance(figure, OutputFigure)
    return figure


def test_the_terminal_table(folder: ResultsFolder) -> None:
    text = as_text([report_of(folder.load())], 100)
    assert "outputs of byot" in text
    (line,) = [line for line in text.splitlines() if line.startswith("exit1")]
    assert line.split() == ["exit1", "86.00", "±1.00", "3", "100", "3.00x", "2", "5", "k"]
    assert "operations of the plain student (88.00 %)" in text


def test_the_figure_shows_every_output_and_the_plain_student(folder: ResultsFolder) -> None:
    figure = figure_of(folder)
    assert figure.title == "tiny · digits · conv32:conv16 · outputs of byot"
    assert [(p.mark, p.name, p.macs, p.top1) for p in figure.points] == [
        (Mark.EXIT, "exit1", 100.0, 86.0),
        (Mark.EXIT, "exit2", 200.0, 92.0),
        (Mark.ENSEMBLE, "ensemble", 400.0, 93.0),
        (Mark.PLAIN, "plain student", 300.0, 88.0),
    ]
    assert figure.points[0].half == pytest.approx(2.484138, abs=1e-6)  # t(0.975, 2) / sqrt(3)


def test_a_page_draws_by_itself(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = as_page([report_of(folder.load())])
    assert text.count("<svg") == 2  # gains, and outputs
    assert text.count("<polyline") == 1


def test_files_for_a_paper(folder: ResultsFolder, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = tmp_path / "drawn"
    assert execute(["report", str(folder.path), "--plots", str(drawn)]) == 0
    name = "tiny-digits-conv32-conv16-outputs-of-byot"
    assert {f"{name}.png", f"{name}.svg"} < {path.name for path in drawn.iterdir()}
    assert (drawn / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    figure = figure_of(folder)
    assert (drawn / f"{name}.svg").read_bytes() == plots.rendered(figure, "svg")


def test_files_need_matplotlib(folder: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"plots need matplotlib: pip install 'kdharness\[plots\]'"):
        plots.write_figures([figure_of(folder)], tmp_path / "drawn")
    assert not (tmp_path / "drawn").exists()
